// Alignment and uniformity.
#include "ssl/evaluation/geometry/alignment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

/// Subtracts the mean row, which changes no distance between rows. Features far from the origin are close together on
/// the sphere, and products of the original rows would lose their differences.
void center_rows(std::vector<double>& rows, std::size_t dim) {
  std::vector<double> mean(dim);
  const double count = static_cast<double>(rows.size() / dim);
  for (std::size_t i = 0; i < rows.size(); ++i) mean[i % dim] += rows[i] / count;
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] -= mean[i % dim];
}

std::vector<double> squared_lengths(const std::vector<double>& rows, std::size_t dim) {
  std::vector<double> result(rows.size() / dim);
  for (std::size_t i = 0; i < rows.size(); ++i) result[i / dim] += rows[i] * rows[i];
  return result;
}

}  // namespace

double alignment_of(const Features& first, const Features& second, double alpha) {
  check_features(first, "alignment");
  check_features(second, "alignment");
  require_usage(first.rows() == second.rows() && first.dim == second.dim, "alignment: views of ", first.rows(), " and ",
                second.rows(), " images with ", first.dim, " and ", second.dim, " features, expected the same");
  const std::vector<double> a = unit_rows(first), b = unit_rows(second);
  double total = 0;
  for (std::int64_t i = 0; i < first.rows(); ++i) {
    double squared = 0;
    for (std::int64_t j = i * first.dim; j < (i + 1) * first.dim; ++j) {
      const double difference = a[static_cast<std::size_t>(j)] - b[static_cast<std::size_t>(j)];
      squared += difference * difference;
    }
    total += std::pow(squared, alpha / 2);
  }
  return total / static_cast<double>(first.rows());
}

double uniformity_of(const Features& features, Backend& backend, double t) {
  constexpr std::int64_t block = 1024;  // rows of the product matrix in memory at a time
  check_features(features, "uniformity");
  const std::int64_t rows = features.rows(), dim = features.dim;
  require_usage(rows > 1, "uniformity: there is one image, expected at least two");
  std::vector<double> wide = unit_rows(features);
  center_rows(wide, static_cast<std::size_t>(dim));
  const std::vector<double> squares = squared_lengths(wide, static_cast<std::size_t>(dim));
  const Tensor unit = from_floats(backend, {rows, dim}, {wide.begin(), wide.end()});
  std::vector<double> sums(static_cast<std::size_t>(rows));  // of each image with all earlier ones
  for (std::int64_t begin = 0; begin < rows; begin += block) {
    const std::int64_t count = std::min(block, rows - begin), width = begin + count;
    const Tensor some = part_of(unit, begin * dim, {count, dim}), before = part_of(unit, 0, {width, dim});
    const std::vector<float> products = matmul(some, before, false, true).floats();
    parallel_for(count, 16, [&](std::int64_t low, std::int64_t high) {
      for (std::int64_t i = low; i < high; ++i) {
        double& sum = sums[static_cast<std::size_t>(begin + i)];
        for (std::int64_t j = 0; j < begin + i; ++j) {
          const double both = squares[static_cast<std::size_t>(begin + i)] + squares[static_cast<std::size_t>(j)];
          sum += std::exp(-t * std::max(0.0, both - 2 * products[static_cast<std::size_t>(i * width + j)]));
        }
      }
    });
  }
  double total = 0;
  for (double sum : sums) total += sum;
  return std::log(total / (0.5 * static_cast<double>(rows) * static_cast<double>(rows - 1)));
}

}  // namespace vergence
