// A map of images: their features along the two directions in which they vary most.
#pragma once

#include <vector>

#include "ssl/evaluation/features/matrix.h"

namespace vergence {

struct FeatureMap {
  std::vector<double> x, y;         // per image: along the first and the second principal component
  double x_share = 0, y_share = 0;  // of the variance, 0 to 1
};

/// The first two principal components of the centered features, by Eigen, in f64. Of both signs, the one that makes
/// the largest coordinate positive. Throws UsageError for fewer than three images or two dimensions, and for features
/// that are not finite or all the same.
FeatureMap principal_map(const Features& features);

}  // namespace vergence
