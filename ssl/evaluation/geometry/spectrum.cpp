// Eigenvalues of symmetric matrices, and the metrics computed from them.
#include "ssl/evaluation/geometry/spectrum.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

/// A symmetric tridiagonal matrix: `diagonal` [n] and the squares of the off-diagonal entries [n - 1].
struct Tridiagonal {
  std::vector<double> diagonal, beside_squared;
};

/// Computes the reflection 1 - v v^T / beta that turns `row` into (+-|row|, 0, 0, ...). Returns beta and |row|^2; v
/// overwrites `row`, and is 0 if there is nothing to do. Divides the row by its largest element first, so that
/// element's square can neither overflow nor vanish.
std::pair<double, double> reflection(double* row, std::int64_t count) {
  double largest = 0, squared = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(row[i]));
  for (std::int64_t i = 0; i < count && largest > 0; ++i) row[i] /= largest, squared += row[i] * row[i];
  const double norm_squared = squared * largest * largest;
  if (count < 2 || largest == 0) {
    std::fill(row, row + count, 0.0);
    return {1, norm_squared};
  }
  const double norm = std::copysign(std::sqrt(squared), row[0]), beta = squared + row[0] * norm;
  row[0] += norm;
  return {beta, norm_squared};
}

/// Reflects rows and columns one after the other; each reflection clears a row after its second element. A reflection H
/// changes A to A - v w^T - w v^T; the next one does this when it needs its product A v: one pass over A per
/// reflection.
Tridiagonal tridiagonalise(std::vector<double>& a, std::int64_t n) {
  Tridiagonal result;
  std::vector<double> v(static_cast<std::size_t>(n)), w(v), next(v), product(v);
  for (std::int64_t k = 0; k < n; ++k) {
    const auto update = [&](std::int64_t i, std::int64_t from) {
      double* row = a.data() + i * n;
      const double *left = v.data(), *right = w.data(), vi = left[i], wi = right[i];
#pragma omp simd
      for (std::int64_t j = from; j < n; ++j) row[j] -= vi * right[j] + wi * left[j];
    };
    update(k, k);
    result.diagonal.push_back(a[static_cast<std::size_t>(k * n + k)]);
    const std::int64_t first = k + 1, rest = n - first;
    if (rest == 0) break;
    std::copy_n(a.begin() + k * n + first, rest, next.begin() + first);
    const auto [beta, squared] = reflection(next.data() + first, rest);
    result.beside_squared.push_back(squared);
    const double scale = 1 / beta;
    parallel_for(rest, std::max<std::int64_t>(1, (1 << 18) / rest), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = first + begin; i < first + end; ++i) {
        update(i, first);
        const double *row = a.data() + i * n, *by = next.data();
        double total = 0;
#pragma omp simd reduction(+ : total)
        for (std::int64_t j = first; j < n; ++j) total += row[j] * by[j];
        product[static_cast<std::size_t>(i)] = total * scale;
      }
    });
    double half = 0;
    for (auto i = static_cast<std::size_t>(first); i < v.size(); ++i) half += next[i] * product[i] * scale / 2;
    for (auto i = static_cast<std::size_t>(first); i < v.size(); ++i) w[i] = product[i] - half * next[i];
    v.swap(next);
  }
  return result;
}

/// Counts the eigenvalues below `x`: the negative pivots of the matrix minus x (Sylvester's law of inertia).
std::int64_t eigenvalues_below(const Tridiagonal& matrix, double x, double smallest_pivot) {
  std::int64_t below = 0;
  double pivot = 1;
  for (std::size_t i = 0; i < matrix.diagonal.size(); ++i) {
    pivot = matrix.diagonal[i] - x - (i > 0 ? matrix.beside_squared[i - 1] / pivot : 0);
    if (std::abs(pivot) < smallest_pivot) pivot = -smallest_pivot;
    below += pivot < 0;
  }
  return below;
}

/// All or some rows of the features, in f64.
Tensor feature_rows(const Features& features, std::int64_t begin, std::int64_t count) {
  const std::vector<double> values(features.row(begin), features.row(begin + count));
  return from_values(cpu_backend(), {count, features.dim}, values);
}

/// Returns the smaller of X^T X and X X^T.
std::vector<double> gram_matrix(const Features& features) {
  constexpr std::int64_t block = 2048;  // f64 rows in memory at a time
  const std::int64_t rows = features.rows(), dim = features.dim;
  if (rows < dim) {
    const Tensor all = feature_rows(features, 0, rows);
    return matmul(all, all, false, true).values();
  }
  Tensor gram = zeros(cpu_backend(), {dim, dim}, DType::f64);
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const Tensor part = feature_rows(features, begin, std::min(block, rows - begin));
    gram = add(gram, matmul(part, part, true, false));
  }
  return gram.values();
}

/// The mean over dimensions of the standard deviation (divisor: rows) of unit-length features.
double mean_deviation(const Features& features) {
  const std::vector<double> unit = unit_rows(features);
  const auto dim = static_cast<std::size_t>(features.dim);
  const double rows = static_cast<double>(features.rows());
  std::vector<double> mean(dim), variance(dim);
  for (std::size_t i = 0; i < unit.size(); ++i) mean[i % dim] += unit[i] / rows;
  for (std::size_t i = 0; i < unit.size(); ++i)
    variance[i % dim] += (unit[i] - mean[i % dim]) * (unit[i] - mean[i % dim]) / rows;
  double total = 0;
  for (double v : variance) total += std::sqrt(v);
  return total / static_cast<double>(dim);
}

}  // namespace

std::vector<double> symmetric_eigenvalues(std::vector<double> matrix, std::int64_t size) {
  require(size > 0 && static_cast<std::int64_t>(matrix.size()) == size * size, "eigenvalues: ", matrix.size(),
          " values, expected a square matrix of ", size);
  const Tridiagonal t = tridiagonalise(matrix, size);
  double low = t.diagonal[0], high = low;  // Gershgorin's discs contain all eigenvalues
  for (std::size_t i = 0; i < t.diagonal.size(); ++i) {
    const double radius = (i > 0 ? std::sqrt(t.beside_squared[i - 1]) : 0) +
                          (i < t.beside_squared.size() ? std::sqrt(t.beside_squared[i]) : 0);
    low = std::min(low, t.diagonal[i] - radius);
    high = std::max(high, t.diagonal[i] + radius);
  }
  const double scale = std::max(std::abs(low), std::abs(high));
  const double smallest_pivot = std::max(scale * 1e-30, std::numeric_limits<double>::min());
  std::vector<double> values(static_cast<std::size_t>(size));
  parallel_for(size, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      double from = low, to = high;
      while (to - from > scale * std::numeric_limits<double>::epsilon() / 2) {
        const double middle = from + (to - from) / 2;
        if (middle <= from || middle >= to) break;
        (eigenvalues_below(t, middle, smallest_pivot) > k ? to : from) = middle;
      }
      values[static_cast<std::size_t>(k)] = from + (to - from) / 2;
    }
  });
  return values;
}

std::vector<double> singular_values(const Features& features) {
  check_features(features, "singular values");
  const std::int64_t size = std::min(features.rows(), features.dim);
  std::vector<double> values = symmetric_eigenvalues(gram_matrix(features), size);
  for (double& value : values) value = std::sqrt(std::max(value, 0.0));
  std::sort(values.begin(), values.end(), std::greater<>());
  return values;
}

double rank_me(const std::vector<double>& singular_values) {
  constexpr double epsilon = 1e-7;
  double total = 0, entropy = 0;
  for (double value : singular_values) total += value;
  for (double value : singular_values) {
    const double share = (total > 0 ? value / total : 0) + epsilon;
    entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

Collapse collapse_of(const Features& features) {
  return {rank_me(singular_values(features)), mean_deviation(features) * std::sqrt(static_cast<double>(features.dim))};
}

}  // namespace vergence
