// The cross-correlation loss on the CPU. With c = z1^T z2 / N of both views' N embeddings of width D:
//   forward   diagonal = sum_i (c_ii - 1)^2, off_diagonal = sum_{i != j} c_ij^2
//   backward  gz1 = (2 / N^2) beta G1 + w z2, gz2 = (2 / N^2) beta G2 + w z1
// with the cotangents alpha and beta of the two sums, one w_i per column, and either directly
//   G1 = z2 F^T, G2 = z1 F, F = N c off the diagonal and 0 on it, w_i = (2 / N) alpha (c_ii - 1)
// or by the Gram matrices, with sum_ij c_ij^2 = <z1 z1^T, z2 z2^T> / N^2,
//   G1 = (z2 z2^T) z1, G2 = (z1 z1^T) z2, w_i = (2 / N) (alpha (c_ii - 1) - beta c_ii).
// FLOP, forward and backward: 6 N D^2 or 12 N^2 D. Bound by the matrix products.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/cpu/typed_product.h"
#include "kernels/cpu/workspace.h"

namespace vergence {
namespace {

/// The operands of one call, of type T.
template <class T>
struct CrossCorrelationCall {
  Backend& backend;
  CrossCorrelationShape shape;

  std::int64_t size() const { return shape.rows * shape.cols; }
  static std::int64_t bytes(std::int64_t count) { return count * static_cast<std::int64_t>(sizeof(T)); }

  /// N^2 sum_ij c_ij^2, computed a few rows of both Gram matrices at a time; writes N c_ii to `c_ii`.
  double gram_sum(const T* z1, const T* z2, T* c_ii) const {
    const std::int64_t cols = shape.cols, most = std::min<std::int64_t>(shape.rows, 256);
    const Workspace memory(backend, bytes(2 * most * shape.rows));
    T *k1 = memory.as<T>(), *k2 = k1 + most * shape.rows;
    double sum = 0;
    for (std::int64_t first = 0; first < shape.rows; first += most) {
      const std::int64_t rows = std::min(most, shape.rows - first);
      cpu::product(backend, false, true, rows, shape.rows, cols, z1 + first * cols, z1, k1);
      cpu::product(backend, false, true, rows, shape.rows, cols, z2 + first * cols, z2, k2);
      sum += cpu::sum_all(rows * shape.rows, [=](std::int64_t i) { return k1[i] * k2[i]; });
    }
    const auto dots = cpu::column_sums<1, T>(1, shape.rows, cols,
                                             [=](std::int64_t i, std::int64_t, T* add) { add[0] += z1[i] * z2[i]; });
    for (std::int64_t i = 0; i < cols; ++i) c_ii[i] = static_cast<T>(dots[static_cast<std::size_t>(i)]);
    return sum;
  }

  /// Writes F to `factor` and N c_ii to `c_ii`; returns the sum of F's squares.
  double direct_sum(const T* z1, const T* z2, T* factor, T* c_ii) const {
    const std::int64_t cols = shape.cols;
    cpu::product(backend, true, false, cols, cols, shape.rows, z1, z2, factor);
    for (std::int64_t i = 0; i < cols; ++i) {
      c_ii[i] = factor[i * (cols + 1)];
      factor[i * (cols + 1)] = 0;
    }
    return cpu::sum_all(cols * cols, [=](std::int64_t i) { return factor[i] * factor[i]; });
  }

  /// G1 and G2.
  void products(const T* z1, const T* z2, const T* factor, T* g1, T* g2) const {
    const std::int64_t rows = shape.rows, cols = shape.cols;
    if (!shape.gram) {
      cpu::product(backend, false, true, rows, cols, cols, z2, factor, g1);
      cpu::product(backend, false, false, rows, cols, cols, z1, factor, g2);
      return;
    }
    const Workspace memory(backend, bytes(rows * rows));
    T* gram = memory.as<T>();
    cpu::product(backend, false, true, rows, rows, cols, z2, z2, gram);
    cpu::product(backend, false, false, rows, cols, rows, gram, z1, g1);
    cpu::product(backend, false, true, rows, rows, cols, z1, z1, gram);
    cpu::product(backend, false, false, rows, cols, rows, gram, z2, g2);
  }
};

}  // namespace

void CpuBackend::cross_correlation_loss(const CrossCorrelationShape& shape, ConstArray z, Array diagonal,
                                        Array off_diagonal, Array c_ii, Array factor) {
  with_master(z.dtype, [&](auto zero) {
    using T = decltype(zero);
    const CrossCorrelationCall<T> call{*this, shape};
    const Workspace unkept(*this, shape.gram || factor ? 0 : CrossCorrelationCall<T>::bytes(shape.cols * shape.cols));
    const T *z1 = z.as<T>(), *z2 = z1 + call.size();
    T* c = c_ii.as<T>();
    const double squares =
        shape.gram ? call.gram_sum(z1, z2, c) : call.direct_sum(z1, z2, factor ? factor.as<T>() : unkept.as<T>(), c);
    const double n = static_cast<double>(shape.rows);
    double on = 0, own = 0;
    for (std::int64_t i = 0; i < shape.cols; ++i) {
      const double value = static_cast<double>(c[i]) / n;
      on += (value - 1) * (value - 1), own += value * value;
      c[i] = static_cast<T>(value);
    }
    *diagonal.as<T>() = static_cast<T>(on);
    *off_diagonal.as<T>() = static_cast<T>(squares / (n * n) - (shape.gram ? own : 0));
  });
}

void CpuBackend::cross_correlation_loss_backward(const CrossCorrelationShape& shape, ConstArray g_diagonal,
                                                 ConstArray g_off_diagonal, ConstArray z, ConstArray c_ii,
                                                 ConstArray factor, Array gz) {
  with_master(z.dtype, [&](auto zero) {
    using T = decltype(zero);
    const CrossCorrelationCall<T> call{*this, shape};
    const T *z1 = z.as<T>(), *z2 = z1 + call.size(), *c = c_ii.as<T>();
    T *gz1 = gz.as<T>(), *gz2 = gz1 + call.size();
    call.products(z1, z2, factor.as<T>(), gz1, gz2);
    const T n = static_cast<T>(shape.rows), alpha = *g_diagonal.as<T>() * 2 / n, beta = *g_off_diagonal.as<T>() * 2 / n;
    const T inverse = 1 / n, own = shape.gram ? beta : T(0);
    const std::int64_t cols = shape.cols;
    parallel_for(shape.rows, cpu::row_grain(cols), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t first = row * cols;
        const T *a = z1 + first, *b = z2 + first;
        T *ga = gz1 + first, *gb = gz2 + first;
        cpu::for_simd(0, cols, [=](std::int64_t i) {
          const T w = alpha * (c[i] - 1) - own * c[i];
          ga[i] = beta * inverse * ga[i] + w * b[i];
          gb[i] = beta * inverse * gb[i] + w * a[i];
        });
      }
    });
  });
}

}  // namespace vergence
