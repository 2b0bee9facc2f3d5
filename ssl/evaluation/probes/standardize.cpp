// Standardizes features, in f64.
#include "ssl/evaluation/probes/standardize.h"

#include <algorithm>
#include <cmath>

#include "kernels/error.h"

namespace vergence {

Standardization::Standardization(const std::vector<float>& values, std::int64_t dim)
    : mean(static_cast<std::size_t>(dim), 0.0), inverse(mean) {
  require(dim > 0 && !values.empty() && values.size() % mean.size() == 0, "standardization: ", values.size(),
          " values in rows of ", dim);
  const double rows = static_cast<double>(values.size() / mean.size());
  double square = 0;  // the mean over all features
  for (std::size_t i = 0; i < values.size(); ++i) mean[i % mean.size()] += values[i] / rows;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double centered = values[i] - mean[i % mean.size()];
    inverse[i % mean.size()] += centered * centered / rows;
    square += static_cast<double>(values[i]) * values[i] / static_cast<double>(values.size());
  }
  const double least = std::max(1e-16 * square, 1e-60);
  for (double& variance : inverse) variance = variance > least ? 1 / std::sqrt(variance) : 0;
}

std::vector<float> Standardization::apply(std::vector<float> values) const {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t j = i % mean.size();
    values[i] = static_cast<float>((values[i] - mean[j]) * inverse[j]);
  }
  return values;
}

LinearClassifier Standardization::unapply(const std::vector<double>& point, std::int64_t classes) const {
  const auto weights = static_cast<std::ptrdiff_t>(classes) * static_cast<std::ptrdiff_t>(mean.size());
  LinearClassifier result{static_cast<std::int64_t>(mean.size()), classes, {}, {}, mean};
  for (std::ptrdiff_t i = 0; i < weights; ++i)
    result.weight.push_back(
        static_cast<float>(point[static_cast<std::size_t>(i)] * inverse[static_cast<std::size_t>(i) % mean.size()]));
  result.bias.assign(point.begin() + weights, point.end());
  return result;
}

}  // namespace vergence
