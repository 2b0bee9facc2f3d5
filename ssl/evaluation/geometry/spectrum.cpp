// Eigenvalues of symmetric matrices, and the metrics computed from them.
#include "ssl/evaluation/geometry/spectrum.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <functional>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"

namespace vergence {
namespace {

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

std::vector<double> symmetric_eigenvalues(const std::vector<double>& matrix, std::int64_t size) {
  require(size > 0 && static_cast<std::int64_t>(matrix.size()) == size * size, "eigenvalues: ", matrix.size(),
          " values, expected a square matrix of ", size);
  const Eigen::Map<const Eigen::MatrixXd> a(matrix.data(), size, size);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(a, Eigen::EigenvaluesOnly);
  require(solver.info() == Eigen::Success, "eigenvalues: the iteration did not converge");
  return {solver.eigenvalues().begin(), solver.eigenvalues().end()};
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
