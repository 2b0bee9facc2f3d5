// Crowding, in f64.
#include "ssl/evaluation/neighbors/crowding.h"

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/error.h"

namespace vergence {
namespace {

double squared_distance(const double* a, const double* b, std::int64_t dim) {
  double total = 0;
  for (std::int64_t j = 0; j < dim; ++j) total += (a[j] - b[j]) * (a[j] - b[j]);
  return total;
}

}  // namespace

Crowding crowding_of(const Features& features) {
  check_labeled(features, "crowding");
  const std::int64_t rows = features.rows(), dim = features.dim, classes = features.classes;
  const std::vector<double> unit = unit_rows(features);
  const auto label = [&](std::int64_t i) { return features.labels[static_cast<std::size_t>(i)]; };

  std::vector<std::int64_t> count(static_cast<std::size_t>(classes));
  std::vector<double> mean(static_cast<std::size_t>(classes * dim)), scatter(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < rows; ++i) ++count[static_cast<std::size_t>(label(i))];
  for (std::int64_t i = 0; i < rows; ++i) {
    const double share = 1 / static_cast<double>(count[static_cast<std::size_t>(label(i))]);
    for (std::int64_t j = 0; j < dim; ++j)
      mean[static_cast<std::size_t>(label(i) * dim + j)] += share * unit[static_cast<std::size_t>(i * dim + j)];
  }
  for (std::int64_t i = 0; i < rows; ++i)
    scatter[static_cast<std::size_t>(label(i))] +=
        squared_distance(unit.data() + i * dim, mean.data() + label(i) * dim, dim);

  Crowding result;
  std::int64_t pairs = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const std::int64_t members = count[static_cast<std::size_t>(c)];
    if (members == 0) continue;
    ++result.classes;
    result.intra += scatter[static_cast<std::size_t>(c)] / static_cast<double>(members);
    for (std::int64_t other = 0; other < c; ++other) {
      if (count[static_cast<std::size_t>(other)] == 0) continue;
      ++pairs;
      result.inter += std::sqrt(squared_distance(mean.data() + c * dim, mean.data() + other * dim, dim));
    }
  }
  require_usage(pairs > 0, "crowding: all images are of one class, expected at least two classes");
  result.intra /= static_cast<double>(result.classes);
  result.inter /= static_cast<double>(pairs);
  constexpr double rounding = 1e-12;  // by which the means of equal features differ
  if (result.inter < rounding) result.inter = 0;
  result.ratio =
      result.inter > 0 ? result.intra / (result.inter * result.inter) : std::numeric_limits<double>::infinity();
  return result;
}

}  // namespace vergence
