// Reductions of a (rows, cols) grid: sum, dot product (terms a b) and maximum, along rows or along columns. Terms are
// formed in Compute<T> and summed in double; the result does not depend on the number of threads. Bound by memory: each
// input is read once.
#include <cmath>
#include <limits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {
namespace {

/// Largest of n values; NaN if any is NaN; -inf of none.
template <class T>
Compute<T> largest(const T* values, std::int64_t n) {
  using Real = Compute<T>;
  Real most = -std::numeric_limits<Real>::infinity();
  int nan = 0;
#pragma omp simd reduction(max : most) reduction(| : nan)
  for (std::int64_t i = 0; i < n; ++i) {
    const Real v = static_cast<Real>(values[i]);
    most = v > most ? v : most;
    nan |= v != v;
  }
  return nan ? std::numeric_limits<Real>::quiet_NaN() : most;
}

template <class T>
void max_along_cols(std::int64_t rows, std::int64_t cols, const T* a, T* out) {
  parallel_for(rows, cpu::row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) out[r] = static_cast<T>(largest(a + r * cols, cols));
  });
}

template <class T>
void max_along_rows(std::int64_t rows, std::int64_t cols, const T* a, T* out) {
  using Real = Compute<T>;
  parallel_for(cols, std::max<std::int64_t>(16, cpu::row_grain(rows)), [&](std::int64_t begin, std::int64_t end) {
    std::fill(out + begin, out + end, static_cast<T>(-std::numeric_limits<Real>::infinity()));
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* row = a + r * cols;
      cpu::for_simd(begin, end, [=](std::int64_t c) {
        const Real v = static_cast<Real>(row[c]), most = static_cast<Real>(out[c]);
        out[c] = static_cast<T>(v > most || v != v ? v : most);
      });
    }
  });
}

/// out[r] = sum over c of term(r * cols + c). Long rows are cut into blocks, so that a single row keeps all threads
/// busy.
template <class T, class Term>
void sum_along_cols(std::int64_t rows, std::int64_t cols, const Term term, T* out) {
  const std::int64_t blocks = std::clamp<std::int64_t>(cols / (2 * cpu::grain), 1, 64);
  std::vector<double> partial(static_cast<std::size_t>(rows * blocks));
  parallel_for(rows * blocks, cpu::row_grain(cols / blocks), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t first = unit / blocks * cols, block = unit % blocks;
      partial[static_cast<std::size_t>(unit)] =
          cpu::sum_range(first + cols * block / blocks, first + cols * (block + 1) / blocks, term);
    }
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (std::int64_t b = 0; b < blocks; ++b) sum += partial[static_cast<std::size_t>(r * blocks + b)];
    out[r] = static_cast<T>(static_cast<Compute<T>>(sum));
  }
}

template <class T, class Term>
void sum_along(Along along, std::int64_t rows, std::int64_t cols, const Term term, T* out) {
  using Real = Compute<T>;
  if (along == Along::cols) return sum_along_cols(rows, cols, term, out);
  if (cols == 1) return sum_along_cols(1, rows, term, out);
  const std::vector<double> sums =
      cpu::column_sums<1, Real>(1, rows, cols, [=](std::int64_t i, std::int64_t, Real* add) { add[0] += term(i); });
  for (std::int64_t c = 0; c < cols; ++c) out[c] = static_cast<T>(static_cast<Real>(sums[static_cast<std::size_t>(c)]));
}

}  // namespace

void CpuBackend::reduce(Reduce op, Along along, std::int64_t rows, std::int64_t cols, ConstArray a, ConstArray b,
                        Array out) {
  with_float(out.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const T *pa = a.as<T>(), *pb = b.as<T>();
    T* po = out.as<T>();
    switch (op) {
      case Reduce::sum:
        return sum_along(
            along, rows, cols, [pa](std::int64_t i) { return static_cast<Real>(pa[i]); }, po);
      case Reduce::dot:
        require(pb != nullptr, "kernel reduce: a dot product got one input");
        return sum_along(
            along, rows, cols, [pa, pb](std::int64_t i) { return static_cast<Real>(pa[i]) * static_cast<Real>(pb[i]); },
            po);
      case Reduce::max:
        return along == Along::cols ? max_along_cols(rows, cols, pa, po) : max_along_rows(rows, cols, pa, po);
    }
  });
}

}  // namespace vergence
