// Clustering: do the classes form clusters that k-means finds without labels?
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
  std::int64_t restarts = 10;     // the one of least inertia counts
  std::int64_t iterations = 300;  // at most, of one restart; it ends when no point changes its cluster
  std::uint64_t seed = 1;         // of the first centers
};

struct KMeans {
  std::vector<std::int32_t> cluster;  // of each point
  std::vector<double> centers;        // [clusters, dim]
  double inertia = 0;                 // sum over points of |x - center|^2
};

/// Clusters `points` [rows, dim] in f64. The same settings give the same result. Of equally near centers the first
/// counts; a cluster that has lost all points takes over the point farthest from its center.
/// Throws UsageError if there are fewer points than clusters.
KMeans k_means(const std::vector<double>& points, std::int64_t dim, const KMeansSettings& settings);

/// k-means with as many clusters as classes that have images, on features of unit length, against the labels.
Agreement clustering_of(const Features& features, std::uint64_t seed);

}  // namespace vergence
