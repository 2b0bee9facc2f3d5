// Clustering: does k-means find the classes as clusters, without labels?
//
// Lloyd's algorithm (Lloyd, "Least squares quantization in PCM", IEEE Transactions on Information Theory 1982) from
// seeds drawn by k-means++ (Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007).
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/geometry/agreement.h"

namespace vergence {

struct KMeansSettings {
  std::int64_t clusters = 10;
  std::int64_t restarts = 10;     // the restart with the smallest inertia counts
  std::int64_t iterations = 300;  // at most, per restart; a restart ends when no point changes its cluster
  std::uint64_t seed = 1;         // for the first centers
};

struct KMeans {
  std::vector<std::int32_t> cluster;  // of each point
  std::vector<double> centers;        // [clusters, dim]
  double inertia = 0;                 // sum over points of |x - center|^2
};

/// Clusters `points` [rows, dim] in f64, reproducibly. The first of equally near centers wins; an empty cluster takes
/// the point farthest from its center. Throws UsageError if there are fewer points than clusters.
KMeans k_means(const std::vector<double>& points, std::int64_t dim, const KMeansSettings& settings);

/// Runs k-means on unit-length features with one cluster per class that has images, and compares the result with the
/// labels.
Agreement clustering_of(const Features& features, std::uint64_t seed);

}  // namespace vergence
