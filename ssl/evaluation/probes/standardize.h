// Scales features to mean 0 and deviation 1 for probes trained by gradients, so that results do not depend on the scale
// and offset of an encoder's features.
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/probes/probe.h"

namespace vergence {

struct Standardization {
  std::vector<double> mean, inverse;  // per feature; inverse: 1 / standard deviation, 0 for one that is constant
                                      // (below 1e-8 of the features' root mean square)

  /// Computes the statistics of `values`, rows of `dim` each.
  Standardization(const std::vector<float>& values, std::int64_t dim);

  /// Standardizes rows of the same length.
  std::vector<float> apply(std::vector<float> values) const;
  /// Returns the classifier of raw features that is equivalent to `point` (weights [classes, dim], then biases
  /// [classes]) on standardized ones.
  LinearClassifier unapply(const std::vector<double>& point, std::int64_t classes) const;
};

}  // namespace vergence
