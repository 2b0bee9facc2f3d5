// Elementwise kernels on the GPU: out[r, c] = f(a[r, c], b[r, c]; alpha, beta) with repeated operands, type conversion,
// and mask scaling's two gradients gx = g m, gm = sum over rows of g x.
// Bytes: every unrepeated operand once, the output once. Bound by memory (H200 data sheet: 4.8 TB/s). Without repeats
// (the whole training step except biases and masks) each thread moves 16 bytes per operand and iteration.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"
#include "kernels/shared/functors.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// The offset of element (row, col) of an operand: row * row_step + col * col_step.
struct Steps {
  std::int64_t row, col;
};

Steps steps_of(Repeat repeat, std::int64_t cols) {
  switch (repeat) {
    case Repeat::none:
      return {cols, 1};
    case Repeat::over_rows:
      return {0, 1};
    case Repeat::over_cols:
      return {1, 0};
    case Repeat::everywhere:
      break;
  }
  return {0, 0};
}

/// No repeats: `vectors` vectors of 16 bytes, then the remaining elements.
template <class T, class Functor>
__global__ void map_flat(std::int64_t size, std::int64_t vectors, Functor f, const T* a, const T* b, Compute<T> alpha,
                         Compute<T> beta, T* out) {
  using Real = Compute<T>;
  constexpr int width = vector_width<T>;
  const std::int64_t threads = grid_threads();
  const std::int64_t thread = grid_thread();
  for (std::int64_t i = thread; i < vectors; i += threads) {
    const Vector<T> va = load_vector(a + i * width);
    Vector<T> vb = va, result;
    if constexpr (Functor::inputs == 2) vb = load_vector(b + i * width);
    for (int k = 0; k < width; ++k)
      result.values[k] =
          static_cast<T>(f(static_cast<Real>(va.values[k]), static_cast<Real>(vb.values[k]), alpha, beta));
    store_vector(out + i * width, result);
  }
  for (std::int64_t i = vectors * width + thread; i < size; i += threads)
    out[i] =
        static_cast<T>(f(static_cast<Real>(a[i]), static_cast<Real>(Functor::inputs == 2 ? b[i] : a[i]), alpha, beta));
}

/// With repeats: one element per thread and iteration.
template <class T, class Functor>
__global__ void map_repeated(std::int64_t rows, std::int64_t cols, Functor f, const T* a, Steps step_a, const T* b,
                             Steps step_b, Compute<T> alpha, Compute<T> beta, T* out) {
  using Real = Compute<T>;
  for (std::int64_t i = grid_thread(); i < rows * cols; i += grid_threads()) {
    const std::int64_t row = i / cols, col = i - row * cols;
    const Real va = static_cast<Real>(a[row * step_a.row + col * step_a.col]);
    const Real vb = Functor::inputs == 2 ? static_cast<Real>(b[row * step_b.row + col * step_b.col]) : va;
    out[i] = static_cast<T>(f(va, vb, alpha, beta));
  }
}

template <class To, class From>
__global__ void copy_repeated(std::int64_t rows, std::int64_t cols, const From* a, Steps step, To* out) {
  for (std::int64_t i = grid_thread(); i < rows * cols; i += grid_threads()) {
    const std::int64_t row = i / cols;
    out[i] = convert<To>(a[row * step.row + (i - row * cols) * step.col]);
  }
}

/// Several elements per thread, without repeats: used by casts between precisions.
template <class To, class From>
__global__ void copy_flat(std::int64_t size, const From* a, To* out) {
  const std::int64_t threads = grid_threads();
  const std::int64_t thread = grid_thread();
  constexpr int width = 4;
  struct alignas(sizeof(From) * width) In {
    From values[width];
  };
  struct alignas(sizeof(To) * width) Out {
    To values[width];
  };
  const std::int64_t vectors = aligned_to<sizeof(In)>(a) && aligned_to<sizeof(Out)>(out) ? size / width : 0;
  for (std::int64_t i = thread; i < vectors; i += threads) {
    const In in = reinterpret_cast<const In*>(a)[i];
    Out result;
    for (int k = 0; k < width; ++k) result.values[k] = convert<To>(in.values[k]);
    reinterpret_cast<Out*>(out)[i] = result;
  }
  for (std::int64_t i = vectors * width + thread; i < size; i += threads) out[i] = convert<To>(a[i]);
}

template <class T>
__global__ void fill_flat(std::int64_t size, T value, T* out) {
  for (std::int64_t i = grid_thread(); i < size; i += grid_threads()) out[i] = value;
}

/// The terms g x of the mask's gradient; also writes gx = g m.
template <class T>
struct MaskTerms {
  std::int64_t cols;
  const T *g, *x, *m;
  T* gx;

  template <int width, class Real>
  __device__ void add(std::int64_t row, std::int64_t column, Real (&part)[1][width]) const {
    const std::int64_t i = row * cols + column;
    const Pack<T, width> vg = load_pack<width>(g + i), vx = load_pack<width>(x + i), vm = load_pack<width>(m + column);
    Pack<T, width> product;
    for (int k = 0; k < width; ++k) {
      const Real gradient = static_cast<Real>(vg.values[k]);
      product.values[k] = static_cast<T>(gradient * static_cast<Real>(vm.values[k]));
      part[0][k] += gradient * static_cast<Real>(vx.values[k]);
    }
    store_pack(gx + i, product);
  }
};

bool is_flat(const Operand& operand, std::int64_t rows, std::int64_t cols) {
  return operand.repeat == Repeat::none || (operand.repeat == Repeat::over_rows && rows == 1) ||
         (operand.repeat == Repeat::over_cols && cols == 1);
}

}  // namespace

void CudaBackend::fill(Array out, double value) {
  if (out.size == 0) return;
  with_any(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    launch("fill", fill_flat<T>, blocks_for(out.size, 1024), 256, device_.stream(), out.size, convert<T>(value),
           out.as<T>());
  });
}

void CudaBackend::map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
                      Array out) {
  const std::int64_t size = rows * cols;
  if (size == 0) return;
  if (op == Map::copy) {
    with_any(a.values.dtype, [&](auto from) {
      with_any(out.dtype, [&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        const From* pa = a.values.as<From>();
        if (is_flat(a, rows, cols))
          launch("copy", copy_flat<To, From>, blocks_for(size, 1024), 256, device_.stream(), size, pa, out.as<To>());
        else
          launch("copy", copy_repeated<To, From>, blocks_for(size, 1024), 256, device_.stream(), rows, cols, pa,
                 steps_of(a.repeat, cols), out.as<To>());
      });
    });
    return;
  }
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T *pa = a.values.as<T>(), *pb = b.values.as<T>();
    T* po = out.as<T>();
    with_functor(op, [&](auto f) {
      using Functor = decltype(f);
      constexpr bool two = Functor::inputs == 2;
      if (is_flat(a, rows, cols) && (!two || is_flat(b, rows, cols))) {
        const bool aligned = aligned_to<16>(pa) && aligned_to<16>(po) && (!two || aligned_to<16>(pb));
        launch("map", map_flat<T, Functor>, blocks_for(size, 256 * vector_width<T>), 256, device_.stream(), size,
               aligned ? size / vector_width<T> : 0, f, pa, pb, static_cast<Real>(alpha), static_cast<Real>(beta), po);
        return;
      }
      launch("map", map_repeated<T, Functor>, blocks_for(size, 1024), 256, device_.stream(), rows, cols, f, pa,
             steps_of(a.repeat, cols), pb, steps_of(b.repeat, cols), static_cast<Real>(alpha), static_cast<Real>(beta),
             po);
    });
  });
}

void CudaBackend::mask_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray x, ConstArray m,
                                Array gx, Array gm) {
  if (gm.size == 0) return;
  with_float(g.dtype, [&](auto zero) {
    using T = decltype(zero);
    const MaskTerms<T> terms{cols, g.as<T>(), x.as<T>(), m.as<T>(), gx.as<T>()};
    const StoreColumn<T> store{gm.as<T>()};
    if (cols % vector_width<T> == 0 && aligned_to<16>(g.data) && aligned_to<16>(x.data) && aligned_to<16>(m.data) &&
        aligned_to<16>(gx.data))
      fold_along_rows<Adding, 1, vector_width<T>, Compute<T>>(device_, "mask_backward", 1, rows, cols, terms, store);
    else
      fold_along_rows<Adding, 1, 1, Compute<T>>(device_, "mask_backward", 1, rows, cols, terms, store);
  });
}

}  // namespace vergence::VERGENCE_GPU
