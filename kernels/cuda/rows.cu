// Kernels over rows on the GPU: log-softmax y = x - max - log sum exp(x - max), its backward gx = g - exp(y) sum(g),
// and L2 normalization u = x / n, n = max(|x|, eps), with its backward gx = (g - u <u, g>) / n. Sums are joined in
// double. Bytes: every operand once for rows of up to 4096 values, which stay in registers between the passes; longer
// rows reread the rest. Bound by memory (H200 data sheet: 4.8 TB/s).
#include <cmath>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int block_threads = 256;

/// A row as seen by one of the `threads` threads that share it: elements thread, thread + threads, ... The first `kept`
/// stay in registers.
template <class T, int threads>
class Row {
 public:
  using Real = Compute<T>;

  __device__ Row(const T* values, std::int64_t cols) : values_(values), cols_(cols) {
    for (int k = 0; k < kept; ++k) {
      const std::int64_t c = thread() + k * threads;
      if (c < cols) held_[k] = static_cast<Real>(values[c]);
    }
  }

  /// Calls `use(c, value)` for this thread's elements.
  template <class Use>
  __device__ void each(Use use) const {
    each_with(*this, [&](std::int64_t c, Real value, Real) { use(c, value); });
  }

  /// Calls `use(c, value, other's value)` for this thread's elements.
  template <class Use>
  __device__ void each_with(const Row& other, Use use) const {
    for (int k = 0; k < kept; ++k) {
      const std::int64_t c = thread() + k * threads;
      if (c < cols_) use(c, held_[k], other.held_[k]);
    }
    for (std::int64_t c = thread() + kept * threads; c < cols_; c += threads)
      use(c, static_cast<Real>(values_[c]), static_cast<Real>(other.values_[c]));
  }

 private:
  static constexpr int kept = threads == warp_size ? 8 : 16;
  __device__ static int thread() { return static_cast<int>(threadIdx.x) % threads; }

  const T* values_;
  std::int64_t cols_;
  Real held_[kept];
};

/// Folds over the threads that share a row.
template <class Fold, int threads, class Real>
__device__ Real row_fold(Real value) {
  if constexpr (threads == warp_size)
    return warp_fold<Fold>(value);
  else
    return block_fold<Fold, threads>(value);
}

template <class T, int threads>
__device__ void log_softmax_row(std::int64_t cols, const T* x, T* y) {
  using Real = Compute<T>;
  const Row<T, threads> row(x, cols);
  Real most = Largest::start<Real>();
  row.each([&](std::int64_t, Real value) { most = Largest::join(most, value); });
  most = row_fold<Largest, threads>(most);
  Real sum = 0;
  row.each([&](std::int64_t, Real value) { sum += std::exp(value - most); });
  const Real log_sum = static_cast<Real>(std::log(row_fold<Adding, threads>(static_cast<double>(sum))));
  row.each([&](std::int64_t c, Real value) { y[c] = static_cast<T>((value - most) - log_sum); });
}

template <class T, int threads>
__device__ void log_softmax_backward_row(std::int64_t cols, const T* g, const T* y, T* gx) {
  using Real = Compute<T>;
  const Row<T, threads> row(g, cols);
  Real part = 0;
  row.each([&](std::int64_t, Real value) { part += value; });
  const Real sum = static_cast<Real>(row_fold<Adding, threads>(static_cast<double>(part)));
  row.each(
      [&](std::int64_t c, Real value) { gx[c] = static_cast<T>(value - std::exp(static_cast<Real>(y[c])) * sum); });
}

/// Squares are taken in double: no float value overflows.
template <class T, int threads>
__device__ void l2_normalize_row(std::int64_t cols, double epsilon, const T* x, T* u, Compute<T>* norm) {
  using Real = Compute<T>;
  const Row<T, threads> row(x, cols);
  double squares = 0;
  row.each([&](std::int64_t, Real value) { squares += static_cast<double>(value) * static_cast<double>(value); });
  const double length = std::sqrt(row_fold<Adding, threads>(squares));
  const Real divisor = static_cast<Real>(length < epsilon ? epsilon : length);
  row.each([&](std::int64_t c, Real value) { u[c] = static_cast<T>(value / divisor); });
  if (threadIdx.x % threads == 0) *norm = divisor;
}

template <class T, int threads>
__device__ void l2_normalize_backward_row(std::int64_t cols, double epsilon, const T* g, const T* u, Compute<T> norm,
                                          T* gx) {
  using Real = Compute<T>;
  const Row<T, threads> row(g, cols), unit(u, cols);
  Real part = 0;
  row.each_with(unit, [&](std::int64_t, Real value, Real direction) { part += value * direction; });
  const double dot = row_fold<Adding, threads>(static_cast<double>(part));
  const Real along = norm == static_cast<Real>(epsilon) ? Real(0) : static_cast<Real>(dot);
  row.each_with(unit, [&](std::int64_t c, Real value, Real direction) {
    gx[c] = static_cast<T>((value - direction * along) / norm);
  });
}

/// The first row of this thread's warp (threads = 32) or block (256); the step to the next.
template <int threads>
__device__ std::int64_t first_row() {
  constexpr int rows_of_block = block_threads / threads;
  return std::int64_t{blockIdx.x} * rows_of_block + threadIdx.x / threads;
}
template <int threads>
__device__ std::int64_t row_step() {
  return std::int64_t{gridDim.x} * (block_threads / threads);
}

template <class T, int threads>
__global__ void log_softmax_rows(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  for (std::int64_t row = first_row<threads>(); row < rows; row += row_step<threads>())
    log_softmax_row<T, threads>(cols, x + row * cols, y + row * cols);
}

template <class T, int threads>
__global__ void log_softmax_backward_rows(std::int64_t rows, std::int64_t cols, const T* g, const T* y, T* gx) {
  for (std::int64_t row = first_row<threads>(); row < rows; row += row_step<threads>())
    log_softmax_backward_row<T, threads>(cols, g + row * cols, y + row * cols, gx + row * cols);
}

template <class T, int threads>
__global__ void l2_normalize_rows(std::int64_t rows, std::int64_t cols, double epsilon, const T* x, T* u,
                                  Compute<T>* norm) {
  for (std::int64_t row = first_row<threads>(); row < rows; row += row_step<threads>())
    l2_normalize_row<T, threads>(cols, epsilon, x + row * cols, u + row * cols, norm + row);
}

template <class T, int threads>
__global__ void l2_normalize_backward_rows(std::int64_t rows, std::int64_t cols, double epsilon, const T* g, const T* u,
                                           const Compute<T>* norm, T* gx) {
  for (std::int64_t row = first_row<threads>(); row < rows; row += row_step<threads>())
    l2_normalize_backward_row<T, threads>(cols, epsilon, g + row * cols, u + row * cols, norm[row], gx + row * cols);
}

/// Calls `f(T{}, threads, blocks)`: one warp per short row, one block per long row.
template <class F>
void with_rows(DType type, std::int64_t rows, std::int64_t cols, F&& f) {
  if (rows * cols == 0) return;
  with_float(type, [&](auto zero) {
    if (cols <= 256)
      f(zero, std::integral_constant<int, warp_size>{}, blocks_for(rows, block_threads / warp_size));
    else
      f(zero, std::integral_constant<int, block_threads>{}, blocks_for(rows, 1));
  });
}

}  // namespace

void CudaBackend::log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) {
  with_rows(x.dtype, rows, cols, [&](auto zero, auto threads, unsigned blocks) {
    using T = decltype(zero);
    launch("log_softmax", log_softmax_rows<T, threads.value>, blocks, block_threads, device_.stream(), rows, cols,
           x.as<T>(), y.as<T>());
  });
}

void CudaBackend::log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) {
  with_rows(g.dtype, rows, cols, [&](auto zero, auto threads, unsigned blocks) {
    using T = decltype(zero);
    launch("log_softmax_backward", log_softmax_backward_rows<T, threads.value>, blocks, block_threads, device_.stream(),
           rows, cols, g.as<T>(), y.as<T>(), gx.as<T>());
  });
}

void CudaBackend::l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u,
                               Array norm) {
  with_rows(x.dtype, rows, cols, [&](auto zero, auto threads, unsigned blocks) {
    using T = decltype(zero);
    launch("l2_normalize", l2_normalize_rows<T, threads.value>, blocks, block_threads, device_.stream(), rows, cols,
           epsilon, x.as<T>(), u.as<T>(), norm.as<Compute<T>>());
  });
}

void CudaBackend::l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g,
                                        ConstArray u, ConstArray norm, Array gx) {
  with_rows(g.dtype, rows, cols, [&](auto zero, auto threads, unsigned blocks) {
    using T = decltype(zero);
    launch("l2_normalize_backward", l2_normalize_backward_rows<T, threads.value>, blocks, block_threads,
           device_.stream(), rows, cols, epsilon, g.as<T>(), u.as<T>(), norm.as<Compute<T>>(), gx.as<T>());
  });
}

}  // namespace vergence::VERGENCE_GPU
