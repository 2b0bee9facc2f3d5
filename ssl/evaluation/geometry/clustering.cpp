// k-means in f64: distances from matrix products, sums over points in order.
#include "ssl/evaluation/geometry/clustering.h"

#include <algorithm>
#include <limits>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {
namespace {

/// Uniform in [0, 1) with 53 bits: enough to choose among very many points.
double uniform(Random& random) {
  const std::uint64_t high = random.bits() >> 5, low = random.bits() >> 6;
  return static_cast<double>(high << 26 | low) * 0x1p-53;
}

class Clusterer {
 public:
  Clusterer(const std::vector<double>& points, std::int64_t dim, const KMeansSettings& settings)
      : points_(points),
        dim_(dim),
        rows_(static_cast<std::int64_t>(points.size()) / dim),
        settings_(settings),
        on_device_(from_values(cpu_backend(), {rows_, dim}, points)) {
    for (std::int64_t i = 0; i < rows_; ++i) squared_norms_.push_back(dot(point(i), point(i)));
  }

  KMeans run(std::int64_t restart) {
    KMeans result;
    result.centers = first_centers(restart);
    for (std::int64_t i = 0; i < settings_.iterations; ++i) {
      const std::vector<std::int32_t> before = result.cluster;
      assign_points(result);
      if (result.cluster == before) break;
      move_centers(result);
    }
    assign_points(result);
    return result;
  }

 private:
  const double* point(std::int64_t i) const { return points_.data() + i * dim_; }
  double dot(const double* a, const double* b) const {
    double total = 0;
    for (std::int64_t j = 0; j < dim_; ++j) total += a[j] * b[j];
    return total;
  }
  double squared_distance(const double* a, const double* b) const {
    double total = 0;
    for (std::int64_t j = 0; j < dim_; ++j) total += (a[j] - b[j]) * (a[j] - b[j]);
    return total;
  }

  /// k-means++: draws each next center among the points, in proportion to the squared distance to the nearest center so
  /// far.
  std::vector<double> first_centers(std::int64_t restart) const {
    Random random(settings_.seed, Purpose::probe, static_cast<std::uint32_t>(restart), 0, cluster_stream);
    std::vector<double> centers, nearest(static_cast<std::size_t>(rows_), std::numeric_limits<double>::infinity());
    auto chosen = static_cast<std::int64_t>(uniform(random) * static_cast<double>(rows_));
    for (std::int64_t k = 0;; ++k) {
      centers.insert(centers.end(), point(chosen), point(chosen + 1));
      if (k + 1 == settings_.clusters) return centers;
      parallel_for(rows_, 64, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          double& least = nearest[static_cast<std::size_t>(i)];
          least = std::min(least, squared_distance(point(i), point(chosen)));
        }
      });
      chosen = draw(nearest, random);
    }
  }

  /// Draws an index in proportion to its weight; any index if all weights are zero.
  static std::int64_t draw(const std::vector<double>& weights, Random& random) {
    double total = 0;
    for (double weight : weights) total += weight;
    double left = uniform(random) * total;
    std::int64_t last = static_cast<std::int64_t>(uniform(random) * static_cast<double>(weights.size()));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (weights[i] <= 0) continue;
      last = static_cast<std::int64_t>(i);
      left -= weights[i];
      if (left < 0) break;
    }
    return last;
  }

  /// Finds the nearest center of every point, and the inertia.
  void assign_points(KMeans& state) {
    const std::int64_t k = settings_.clusters;
    const std::vector<double> products =
        matmul(on_device_, from_values(cpu_backend(), {k, dim_}, state.centers), false, true).values();
    std::vector<double> norms;
    for (std::int64_t c = 0; c < k; ++c)
      norms.push_back(dot(state.centers.data() + c * dim_, state.centers.data() + c * dim_));
    state.cluster.resize(static_cast<std::size_t>(rows_));
    distance_.resize(static_cast<std::size_t>(rows_));
    parallel_for(rows_, 64, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::int32_t best = 0;
        double least = std::numeric_limits<double>::infinity();
        for (std::int32_t c = 0; c < k; ++c) {
          const double distance =
              norms[static_cast<std::size_t>(c)] - 2 * products[static_cast<std::size_t>(i * k + c)];
          if (distance < least) least = distance, best = c;
        }
        state.cluster[static_cast<std::size_t>(i)] = best;
        distance_[static_cast<std::size_t>(i)] = std::max(0.0, least + squared_norms_[static_cast<std::size_t>(i)]);
      }
    });
    state.inertia = 0;
    for (double distance : distance_) state.inertia += distance;
  }

  /// Moves every center to the mean of its points.
  void move_centers(KMeans& state) {
    std::vector<std::int64_t> count(static_cast<std::size_t>(settings_.clusters));
    for (std::int32_t c : state.cluster) ++count[static_cast<std::size_t>(c)];
    for (std::size_t c = 0; c < count.size(); ++c)
      if (count[c] == 0) give_farthest(state, c, count);
    std::fill(state.centers.begin(), state.centers.end(), 0.0);
    parallel_for(dim_, 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = 0; i < rows_; ++i) {
        const auto c = static_cast<std::size_t>(state.cluster[static_cast<std::size_t>(i)]);
        for (std::int64_t j = begin; j < end; ++j)
          state.centers[c * static_cast<std::size_t>(dim_) + static_cast<std::size_t>(j)] += point(i)[j];
      }
    });
    for (std::size_t i = 0; i < state.centers.size(); ++i)
      state.centers[i] /= static_cast<double>(count[i / static_cast<std::size_t>(dim_)]);
  }

  /// Moves the point farthest from its center to cluster `empty`, but never the last point of a cluster.
  void give_farthest(KMeans& state, std::size_t empty, std::vector<std::int64_t>& count) {
    std::size_t farthest = 0;
    double most = -1;
    for (std::size_t i = 0; i < distance_.size(); ++i)
      if (distance_[i] > most && count[static_cast<std::size_t>(state.cluster[i])] > 1)
        most = distance_[i], farthest = i;
    --count[static_cast<std::size_t>(state.cluster[farthest])];
    ++count[empty];
    state.cluster[farthest] = static_cast<std::int32_t>(empty);
    distance_[farthest] = 0;
  }

  const std::vector<double>& points_;
  std::int64_t dim_, rows_;
  KMeansSettings settings_;
  Tensor on_device_;
  std::vector<double> squared_norms_, distance_;  // distance_: squared distance of each point to its center
};

}  // namespace

KMeans k_means(const std::vector<double>& points, std::int64_t dim, const KMeansSettings& settings) {
  require(dim > 0 && settings.clusters > 0 && settings.restarts > 0 && settings.iterations > 0,
          "k-means: ", settings.clusters, " clusters, ", settings.restarts, " restarts and ", settings.iterations,
          " iterations in ", dim, " dimensions, expected at least 1 of each");
  const std::int64_t rows = static_cast<std::int64_t>(points.size()) / dim;
  require_usage(rows >= settings.clusters, "k-means: ", rows, " images for ", settings.clusters,
                " clusters, expected at least as many");
  Clusterer clusterer(points, dim, settings);
  KMeans best;
  for (std::int64_t restart = 0; restart < settings.restarts; ++restart) {
    KMeans result = clusterer.run(restart);
    if (restart == 0 || result.inertia < best.inertia) best = std::move(result);
  }
  return best;
}

Agreement clustering_of(const Features& features, std::uint64_t seed) {
  check_labeled(features, "clustering");
  const std::vector<std::int32_t> classes = classes_in(features.labels);  // label values may have gaps
  std::vector<std::int32_t> numbers;
  for (const std::int32_t label : features.labels) {
    const auto place = std::lower_bound(classes.begin(), classes.end(), label);
    numbers.push_back(static_cast<std::int32_t>(place - classes.begin()));
  }
  const auto count = static_cast<std::int64_t>(classes.size());
  const KMeans found = k_means(unit_rows(features), features.dim, {.clusters = count, .seed = seed});
  return agreement_of(found.cluster, numbers, count);
}

}  // namespace vergence
