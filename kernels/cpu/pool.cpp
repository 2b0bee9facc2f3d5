// Pooling over NHWC images, one thread per part of the batch, vectorized over channels.
//   max      y = the largest cell of the window, index = its place h * in_width + w: the first one on ties, NaN wins;
//            scatter dx[index] += g and gather y = x[index] are each other's transposes
//   average  y = the mean of the window's cells that lie inside the image; backward spreads g / count over them
// Bound by memory: the input is read (or written) once per overlapping window, mostly from cache; the output once.
#include <cmath>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {
namespace {

/// The part of a window inside the image: rows [top, bottom), columns [left, right).
struct Window {
  std::int64_t top, bottom, left, right;

  Window(const PoolShape& s, std::int64_t oh, std::int64_t ow)
      : top(std::max<std::int64_t>(0, oh * s.stride - s.padding)),
        bottom(std::min(s.in_height, oh * s.stride - s.padding + s.kernel_height)),
        left(std::max<std::int64_t>(0, ow * s.stride - s.padding)),
        right(std::min(s.in_width, ow * s.stride - s.padding + s.kernel_width)) {}
  std::int64_t cells() const {
    return std::max<std::int64_t>(0, bottom - top) * std::max<std::int64_t>(0, right - left);
  }
};

std::int64_t in_cells(const PoolShape& s) { return s.in_height * s.in_width; }
std::int64_t out_cells(const PoolShape& s) { return s.out_height() * s.out_width(); }

/// Calls `body(n)` for every image, in parallel.
template <class Body>
void for_images(const PoolShape& shape, const Body& body) {
  parallel_for(shape.batch, cpu::row_grain(in_cells(shape) * shape.channels),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t n = begin; n < end; ++n) body(n);
               });
}

/// Calls `body(o, window)` for every output cell o of an image.
template <class Body>
void for_windows(const PoolShape& shape, const Body& body) {
  for (std::int64_t oh = 0, o = 0; oh < shape.out_height(); ++oh)
    for (std::int64_t ow = 0; ow < shape.out_width(); ++ow, ++o) body(o, Window(shape, oh, ow));
}

/// Sums into one image of dx. bf16 is summed in float and rounded once, in the destructor.
template <class T>
class ImageSums {
 public:
  using Real = Compute<T>;
  ImageSums(T* image, std::int64_t size) : image_(image), size_(size) {
    if constexpr (!std::is_same_v<T, Real>) wide_.resize(static_cast<std::size_t>(size));
    std::fill(data(), data() + size, Real(0));
  }
  ~ImageSums() {
    if constexpr (!std::is_same_v<T, Real>)
      for (std::int64_t i = 0; i < size_; ++i) image_[i] = static_cast<T>(wide_[static_cast<std::size_t>(i)]);
  }
  ImageSums(const ImageSums&) = delete;
  ImageSums& operator=(const ImageSums&) = delete;

  Real* data() {
    if constexpr (std::is_same_v<T, Real>)
      return image_;
    else
      return wide_.data();
  }

 private:
  T* image_;
  std::int64_t size_;
  std::vector<Real> wide_;
};

/// The maxima of one window, kept in `most` until all cells are seen.
template <class T>
void max_of_window(const PoolShape& shape, const Window& window, const T* image, Compute<T>* most,
                   std::int32_t* index) {
  using Real = Compute<T>;
  const std::int32_t first = static_cast<std::int32_t>(window.top * shape.in_width + window.left);
  std::fill(most, most + shape.channels, -std::numeric_limits<Real>::infinity());
  std::fill(index, index + shape.channels, first);
  for (std::int64_t h = window.top; h < window.bottom; ++h)
    for (std::int64_t w = window.left; w < window.right; ++w) {
      const std::int32_t cell = static_cast<std::int32_t>(h * shape.in_width + w);
      const T* values = image + cell * shape.channels;
      cpu::for_simd(0, shape.channels, [=](std::int64_t c) {
        const Real v = static_cast<Real>(values[c]);
        const bool wins = v > most[c] || v != v;
        most[c] = wins ? v : most[c];
        index[c] = wins ? cell : index[c];
      });
    }
}

template <class T, class Y>
void average_of_window(const PoolShape& shape, const Window& window, const T* image, Compute<T>* sums, Y* y) {
  using Real = Compute<T>;
  std::fill(sums, sums + shape.channels, Real(0));
  for (std::int64_t h = window.top; h < window.bottom; ++h)
    for (std::int64_t w = window.left; w < window.right; ++w) {
      const T* values = image + (h * shape.in_width + w) * shape.channels;
      cpu::for_simd(0, shape.channels, [=](std::int64_t c) { sums[c] += static_cast<Real>(values[c]); });
    }
  const Real count = static_cast<Real>(window.cells());
  cpu::for_simd(0, shape.channels, [=](std::int64_t c) { y[c] = static_cast<Y>(sums[c] / count); });
}

/// Padding at least as large as the kernel would leave windows without a cell.
void check(const char* op, const PoolShape& s) {
  require(s.padding < s.kernel_height && s.padding < s.kernel_width, op, ": padding ", s.padding,
          " must be smaller than the window ", s.kernel_height, "x", s.kernel_width);
}

}  // namespace

void CpuBackend::max_pool(const PoolShape& shape, ConstArray x, Array y, Array index) {
  check("max_pool", shape);
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.as<T>();
    T* py = y.as<T>();
    std::int32_t* pi = index.as<std::int32_t>();
    const std::int64_t in_size = in_cells(shape) * shape.channels, out_size = out_cells(shape) * shape.channels;
    for_images(shape, [&](std::int64_t n) {
      std::vector<Compute<T>> most(static_cast<std::size_t>(shape.channels));
      for_windows(shape, [&](std::int64_t o, const Window& window) {
        const std::int64_t at = n * out_size + o * shape.channels;
        max_of_window(shape, window, px + n * in_size, most.data(), pi + at);
        for (std::int64_t c = 0; c < shape.channels; ++c)
          py[at + c] = static_cast<T>(most[static_cast<std::size_t>(c)]);
      });
    });
  });
}

void CpuBackend::max_pool_scatter(const PoolShape& shape, ConstArray g, ConstArray index, Array dx) {
  with_float(g.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* pg = g.as<T>();
    const std::int32_t* pi = index.as<std::int32_t>();
    T* pdx = dx.as<T>();
    const std::int64_t in_size = in_cells(shape) * shape.channels, out = out_cells(shape);
    for_images(shape, [&](std::int64_t n) {
      ImageSums<T> sums(pdx + n * in_size, in_size);
      Compute<T>* to = sums.data();
      for (std::int64_t at = n * out; at < (n + 1) * out; ++at)
        for (std::int64_t c = 0, i = at * shape.channels; c < shape.channels; ++c, ++i)
          to[pi[i] * shape.channels + c] += static_cast<Compute<T>>(pg[i]);
    });
  });
}

void CpuBackend::max_pool_gather(const PoolShape& shape, ConstArray x, ConstArray index, Array y) {
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.as<T>();
    const std::int32_t* pi = index.as<std::int32_t>();
    T* py = y.as<T>();
    const std::int64_t in_size = in_cells(shape) * shape.channels, out = out_cells(shape);
    for_images(shape, [&](std::int64_t n) {
      const T* image = px + n * in_size;
      for (std::int64_t at = n * out; at < (n + 1) * out; ++at)
        for (std::int64_t c = 0, i = at * shape.channels; c < shape.channels; ++c, ++i)
          py[i] = image[pi[i] * shape.channels + c];
    });
  });
}

void CpuBackend::average_pool(const PoolShape& shape, ConstArray x, Array y) {
  check("average_pool", shape);
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.as<T>();
    const std::int64_t in_size = in_cells(shape) * shape.channels, out_size = out_cells(shape) * shape.channels;
    const auto run = [&](auto* py) {
      for_images(shape, [&](std::int64_t n) {
        std::vector<Compute<T>> sums(static_cast<std::size_t>(shape.channels));
        for_windows(shape, [&](std::int64_t o, const Window& window) {
          average_of_window(shape, window, px + n * in_size, sums.data(), py + n * out_size + o * shape.channels);
        });
      });
    };
    if (y.dtype == x.dtype)
      run(y.as<T>());
    else
      run(y.as<Compute<T>>());
  });
}

void CpuBackend::average_pool_backward(const PoolShape& shape, ConstArray g, Array dx) {
  check("average_pool_backward", shape);
  with_float(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    T* pdx = dx.as<T>();
    const std::int64_t in_size = in_cells(shape) * shape.channels, out_size = out_cells(shape) * shape.channels;
    const auto run = [&](const auto* pg) {
      for_images(shape, [&](std::int64_t n) {
        ImageSums<T> sums(pdx + n * in_size, in_size);
        for_windows(shape, [&](std::int64_t o, const Window& window) {
          const auto* from = pg + n * out_size + o * shape.channels;
          const Real count = static_cast<Real>(window.cells());
          for (std::int64_t h = window.top; h < window.bottom; ++h)
            for (std::int64_t w = window.left; w < window.right; ++w) {
              Real* to = sums.data() + (h * shape.in_width + w) * shape.channels;
              cpu::for_simd(0, shape.channels, [=](std::int64_t c) { to[c] += static_cast<Real>(from[c]) / count; });
            }
        });
      });
    };
    if (g.dtype == dx.dtype)
      run(g.as<T>());
    else
      run(g.as<Real>());
  });
}

}  // namespace vergence
