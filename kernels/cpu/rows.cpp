// Kernels over rows: log-softmax y = x - max - log sum exp(x - max), its backward gx = g - exp(y) sum(g), and L2
// normalization u = x / n, n = max(|x|, eps), with its backward gx = (g - u <u, g>) / n. Sums in double. A row is read
// two or three times, from cache after the first: bound by memory (L2) and by the exponential (softmax).
#include <cmath>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {
namespace {

template <class T>
void log_softmax_row(std::int64_t cols, const T* x, T* y) {
  using Real = Compute<T>;
  Real most = static_cast<Real>(x[0]);
  for (std::int64_t c = 1; c < cols; ++c) most = std::max(most, static_cast<Real>(x[c]));
  double sum = 0;
  for (std::int64_t c = 0; c < cols; ++c) sum += static_cast<double>(std::exp(static_cast<Real>(x[c]) - most));
  const Real log_sum = static_cast<Real>(std::log(sum));
  cpu::for_simd(0, cols, [=](std::int64_t c) { y[c] = static_cast<T>((static_cast<Real>(x[c]) - most) - log_sum); });
}

template <class T>
void log_softmax_backward_row(std::int64_t cols, const T* g, const T* y, T* gx) {
  using Real = Compute<T>;
  const Real sum = static_cast<Real>(cpu::sum_range(0, cols, [g](std::int64_t c) { return static_cast<Real>(g[c]); }));
  for (std::int64_t c = 0; c < cols; ++c)
    gx[c] = static_cast<T>(static_cast<Real>(g[c]) - std::exp(static_cast<Real>(y[c])) * sum);
}

/// Returns max(|x|, epsilon). Squares are taken in double: no float value overflows.
template <class T>
Compute<T> l2_normalize_row(std::int64_t cols, double epsilon, const T* x, T* u) {
  using Real = Compute<T>;
  const double squares = cpu::sum_range(0, cols, [x](std::int64_t c) {
    const double value = static_cast<double>(static_cast<Real>(x[c]));
    return value * value;
  });
  const double length = std::sqrt(squares);
  const Real norm = static_cast<Real>(length < epsilon ? epsilon : length);
  cpu::for_simd(0, cols, [=](std::int64_t c) { u[c] = static_cast<T>(static_cast<Real>(x[c]) / norm); });
  return norm;
}

template <class T>
void l2_normalize_backward_row(std::int64_t cols, bool clamped, Compute<T> norm, const T* g, const T* u, T* gx) {
  using Real = Compute<T>;
  const double dot =
      cpu::sum_range(0, cols, [g, u](std::int64_t c) { return static_cast<Real>(g[c]) * static_cast<Real>(u[c]); });
  const Real along = clamped ? Real(0) : static_cast<Real>(dot);
  cpu::for_simd(0, cols, [=](std::int64_t c) {
    gx[c] = static_cast<T>((static_cast<Real>(g[c]) - static_cast<Real>(u[c]) * along) / norm);
  });
}

/// Calls `row(r)` for all rows, in parallel.
template <class Row>
void for_rows(std::int64_t rows, std::int64_t cols, const Row& row) {
  parallel_for(rows, std::max<std::int64_t>(1, cpu::row_grain(cols) / 4), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) row(r);
  });
}

}  // namespace

void CpuBackend::log_softmax(std::int64_t rows, std::int64_t cols, ConstArray x, Array y) {
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.as<T>();
    T* py = y.as<T>();
    for_rows(rows, cols, [=](std::int64_t r) { log_softmax_row(cols, px + r * cols, py + r * cols); });
  });
}

void CpuBackend::log_softmax_backward(std::int64_t rows, std::int64_t cols, ConstArray g, ConstArray y, Array gx) {
  with_float(g.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *pg = g.as<T>(), *py = y.as<T>();
    T* pgx = gx.as<T>();
    for_rows(rows, cols,
             [=](std::int64_t r) { log_softmax_backward_row(cols, pg + r * cols, py + r * cols, pgx + r * cols); });
  });
}

void CpuBackend::l2_normalize(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray x, Array u, Array norm) {
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.as<T>();
    T* pu = u.as<T>();
    Compute<T>* pn = norm.as<Compute<T>>();
    for_rows(rows, cols,
             [=](std::int64_t r) { pn[r] = l2_normalize_row(cols, epsilon, px + r * cols, pu + r * cols); });
  });
}

void CpuBackend::l2_normalize_backward(std::int64_t rows, std::int64_t cols, double epsilon, ConstArray g, ConstArray u,
                                       ConstArray norm, Array gx) {
  with_float(g.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T *pg = g.as<T>(), *pu = u.as<T>();
    const Real* pn = norm.as<Real>();
    T* pgx = gx.as<T>();
    for_rows(rows, cols, [=](std::int64_t r) {
      const bool clamped = pn[r] == static_cast<Real>(epsilon);
      l2_normalize_backward_row(cols, clamped, pn[r], pg + r * cols, pu + r * cols, pgx + r * cols);
    });
  });
}

}  // namespace vergence
