// Pooling over NHWC images on the GPU.
//   max      y = the largest cell of the window, index = its place h * in_width + w: the first one on ties, NaN wins;
//            scatter dx[index] += g and gather y = x[index] are each other's transposes
//   average  y = the mean of the window's cells that lie inside the image; backward spreads g / count over them
// Bytes: the input once per window that covers it, mostly from cache; the output once. Bound by memory (H200 data
// sheet: 4.8 TB/s). A thread computes neighboring channels of one cell. Both backward kernels run over the cells of dx:
// each adds up the windows that cover it, in order, so that no two threads add to the same cell.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// The geometry along one axis.
struct Axis {
  int in, out, kernel, stride, padding;

  /// The cells [begin, end) of the window of output cell o.
  __device__ int begin(int o) const { return o * stride < padding ? 0 : o * stride - padding; }
  __device__ int end(int o) const { return o * stride - padding + kernel < in ? o * stride - padding + kernel : in; }
  /// The output cells [first, past) whose windows hold input cell i.
  __device__ int first(int i) const { return i + padding < kernel ? 0 : (i + padding - kernel) / stride + 1; }
  __device__ int past(int i) const { return (i + padding) / stride < out ? (i + padding) / stride + 1 : out; }
};

struct Geometry {
  std::int64_t batch, channels;
  Axis down, across;

  explicit Geometry(const PoolShape& s)
      : batch(s.batch),
        channels(s.channels),
        down{axis(s.in_height, s.out_height(), s.kernel_height, s)},
        across{axis(s.in_width, s.out_width(), s.kernel_width, s)} {}

  std::string text() const {
    return join(batch, "x", down.in, "x", across.in, "x", channels, " -> ", down.out, "x", across.out, ", window ",
                down.kernel, "x", across.kernel);
  }

 private:
  static Axis axis(std::int64_t in, std::int64_t out, std::int64_t kernel, const PoolShape& s) {
    return {static_cast<int>(in), static_cast<int>(out), static_cast<int>(kernel), static_cast<int>(s.stride),
            static_cast<int>(s.padding)};
  }
};

/// `width` channels of one cell of a (batch, height, width, channels) array, from its flat index.
struct Cell {
  std::int64_t image, channel;
  int h, w;

  __device__ Cell(std::int64_t number, std::int64_t channels, int height, int width) {
    const std::int64_t cell = quotient(number, channels), line = quotient(cell, width);
    image = quotient(line, height);
    channel = number - cell * channels;
    h = static_cast<int>(line - image * height);
    w = static_cast<int>(cell - line * width);
  }
};

/// Calls `body(i, cell)` for every pack of `width` channels: i is the flat index of its first element.
template <int width, class Body>
__device__ void for_packs(const Geometry& g, int height, int across, Body body) {
  const std::int64_t size = g.batch * height * across * g.channels;
  const std::int64_t step = grid_threads() * width;
  for (std::int64_t i = grid_thread() * width; i < size; i += step) body(i, Cell(i, g.channels, height, across));
}

template <class T, int width>
__global__ void max_of_windows(Geometry g, const T* x, T* y, std::int32_t* index) {
  using Real = Compute<T>;
  for_packs<width>(g, g.down.out, g.across.out, [&](std::int64_t i, const Cell& o) {
    const int top = g.down.begin(o.h), bottom = g.down.end(o.h), left = g.across.begin(o.w), right = g.across.end(o.w);
    const T* image = x + o.image * g.down.in * g.across.in * g.channels + o.channel;
    Real most[width];
    std::int32_t where[width];
    for (int k = 0; k < width; ++k) most[k] = Largest::start<Real>(), where[k] = top * g.across.in + left;
    for (int h = top; h < bottom; ++h)
      for (int w = left; w < right; ++w) {
        const int cell = h * g.across.in + w;
        const Pack<T, width> values = load_pack<width>(image + cell * g.channels);
        for (int k = 0; k < width; ++k) {
          const Real v = static_cast<Real>(values.values[k]);
          const bool wins = v > most[k] || v != v;
          most[k] = wins ? v : most[k];
          where[k] = wins ? cell : where[k];
        }
      }
    Pack<T, width> result;
    Pack<std::int32_t, width> places;
    for (int k = 0; k < width; ++k) result.values[k] = static_cast<T>(most[k]), places.values[k] = where[k];
    store_pack(y + i, result);
    store_pack(index + i, places);
  });
}

/// Every index is in its window, as max_pool wrote it: only windows that cover a cell can point at it.
template <class T, int width>
__global__ void scatter_maxima(Geometry g, const T* from, const std::int32_t* index, T* dx) {
  using Real = Compute<T>;
  for_packs<width>(g, g.down.in, g.across.in, [&](std::int64_t i, const Cell& c) {
    const int cell = c.h * g.across.in + c.w;
    Real sums[width] = {};
    for (int oh = g.down.first(c.h); oh < g.down.past(c.h); ++oh)
      for (int ow = g.across.first(c.w); ow < g.across.past(c.w); ++ow) {
        const std::int64_t o = ((c.image * g.down.out + oh) * g.across.out + ow) * g.channels + c.channel;
        const Pack<T, width> values = load_pack<width>(from + o);
        const Pack<std::int32_t, width> places = load_pack<width>(index + o);
        for (int k = 0; k < width; ++k)
          if (places.values[k] == cell) sums[k] += static_cast<Real>(values.values[k]);
      }
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) result.values[k] = static_cast<T>(sums[k]);
    store_pack(dx + i, result);
  });
}

template <class T, int width>
__global__ void gather_maxima(Geometry g, const T* x, const std::int32_t* index, T* y) {
  for_packs<width>(g, g.down.out, g.across.out, [&](std::int64_t i, const Cell& o) {
    const T* image = x + o.image * g.down.in * g.across.in * g.channels + o.channel;
    const Pack<std::int32_t, width> places = load_pack<width>(index + i);
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) result.values[k] = image[places.values[k] * g.channels + k];
    store_pack(y + i, result);
  });
}

template <class T, class Y, int width>
__global__ void average_of_windows(Geometry g, const T* x, Y* y) {
  using Real = Compute<T>;
  for_packs<width>(g, g.down.out, g.across.out, [&](std::int64_t i, const Cell& o) {
    const int top = g.down.begin(o.h), bottom = g.down.end(o.h), left = g.across.begin(o.w), right = g.across.end(o.w);
    const T* image = x + o.image * g.down.in * g.across.in * g.channels + o.channel;
    Real sums[width] = {};
    for (int h = top; h < bottom; ++h)
      for (int w = left; w < right; ++w) {
        const Pack<T, width> values = load_pack<width>(image + (h * g.across.in + w) * g.channels);
        for (int k = 0; k < width; ++k) sums[k] += static_cast<Real>(values.values[k]);
      }
    const Real count = static_cast<Real>((bottom - top) * (right - left));
    Pack<Y, width> result;
    for (int k = 0; k < width; ++k) result.values[k] = static_cast<Y>(sums[k] / count);
    store_pack(y + i, result);
  });
}

template <class T, class Y, int width>
__global__ void spread_averages(Geometry g, const Y* from, T* dx) {
  using Real = Compute<T>;
  for_packs<width>(g, g.down.in, g.across.in, [&](std::int64_t i, const Cell& c) {
    Real sums[width] = {};
    for (int oh = g.down.first(c.h); oh < g.down.past(c.h); ++oh)
      for (int ow = g.across.first(c.w); ow < g.across.past(c.w); ++ow) {
        const int cells = (g.down.end(oh) - g.down.begin(oh)) * (g.across.end(ow) - g.across.begin(ow));
        const Pack<Y, width> values =
            load_pack<width>(from + ((c.image * g.down.out + oh) * g.across.out + ow) * g.channels + c.channel);
        for (int k = 0; k < width; ++k) sums[k] += static_cast<Real>(values.values[k]) / static_cast<Real>(cells);
      }
    Pack<T, width> result;
    for (int k = 0; k < width; ++k) result.values[k] = static_cast<T>(sums[k]);
    store_pack(dx + i, result);
  });
}

/// Padding at least as large as the kernel would leave windows without a cell.
void check(const char* op, const PoolShape& s) {
  require(s.padding < s.kernel_height && s.padding < s.kernel_width, op, ": padding ", s.padding,
          " must be smaller than the window ", s.kernel_height, "x", s.kernel_width);
}

/// Calls `f(T{}, width, blocks)` for an output of `size` elements: several channels per thread if their number allows
/// it.
template <class F>
void with_packs(DType type, std::int64_t channels, std::int64_t size, std::initializer_list<const void*> arrays,
                F&& f) {
  if (size == 0) return;
  with_float(type, [&](auto zero) {
    constexpr int width = vector_width<decltype(zero)>;
    bool packs = channels % width == 0;
    for (const void* array : arrays) packs = packs && aligned_to<16>(array);
    if (packs)
      f(zero, std::integral_constant<int, width>{}, blocks_for(size, 256 * width));
    else
      f(zero, std::integral_constant<int, 1>{}, blocks_for(size, 256));
  });
}

}  // namespace

void CudaBackend::max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) {
  check("max_pool", shape);
  with_packs(x.dtype, shape.channels, y.size, {x.data, y.data, index.data},
             [&](auto zero, auto width, unsigned blocks) {
               using T = decltype(zero);
               launch("max_pool", max_of_windows<T, width.value>, blocks, 256, device_.stream(), Geometry(shape),
                      x.as<T>(), y.as<T>(), index.as<std::int32_t>());
             });
}

void CudaBackend::max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) {
  with_packs(g.dtype, shape.channels, dx.size, {g.data, index.data, dx.data},
             [&](auto zero, auto width, unsigned blocks) {
               using T = decltype(zero);
               launch("max_pool_scatter", scatter_maxima<T, width.value>, blocks, 256, device_.stream(),
                      Geometry(shape), g.as<T>(), index.as<std::int32_t>(), dx.as<T>());
             });
}

void CudaBackend::max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) {
  with_packs(x.dtype, shape.channels, y.size, {x.data, index.data, y.data},
             [&](auto zero, auto width, unsigned blocks) {
               using T = decltype(zero);
               launch("max_pool_gather", gather_maxima<T, width.value>, blocks, 256, device_.stream(), Geometry(shape),
                      x.as<T>(), index.as<std::int32_t>(), y.as<T>());
             });
}

void CudaBackend::average_pool(const PoolShape& shape, ConstArray x, Array y) {
  check("average_pool", shape);
  with_packs(x.dtype, shape.channels, y.size, {x.data, y.data}, [&](auto zero, auto width, unsigned blocks) {
    using T = decltype(zero);
    const auto run = [&](auto* to) {
      launch("average_pool", average_of_windows<T, std::remove_pointer_t<decltype(to)>, width.value>, blocks, 256,
             device_.stream(), Geometry(shape), x.as<T>(), to);
    };
    if (y.dtype == x.dtype)
      run(y.as<T>());
    else
      run(y.as<Compute<T>>());
  });
}

void CudaBackend::average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) {
  check("average_pool_backward", shape);
  with_packs(dx.dtype, shape.channels, dx.size, {g.data, dx.data}, [&](auto zero, auto width, unsigned blocks) {
    using T = decltype(zero);
    const auto run = [&](const auto* from) {
      launch("average_pool_backward",
             spread_averages<T, std::remove_cv_t<std::remove_pointer_t<decltype(from)>>, width.value>, blocks, 256,
             device_.stream(), Geometry(shape), from, dx.as<T>());
    };
    if (g.dtype == dx.dtype)
      run(g.as<T>());
    else
      run(g.as<Compute<T>>());
  });
}

}  // namespace vergence::VERGENCE_GPU
