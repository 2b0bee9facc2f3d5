// Features far from the origin, as a collapsing encoder makes them: small differences of large numbers must not be lost
// in any figure.
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/random.h"
#include "ssl/evaluation/geometry/alignment.h"
#include "ssl/evaluation/geometry/clustering.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/crowding.h"
#include "ssl/evaluation/probes/dense.h"

namespace vergence {
namespace {

constexpr float quantum = 0x1p-13f;  // adding 1000 to multiples of this, below 1, is exact in f32

/// Blobs of deviation 1/2048 around class centers half as far apart, all values multiples of `quantum`, plus `shift`.
Features blobs(std::int64_t rows, std::int64_t dim, std::int64_t classes, float shift, std::uint64_t stream) {
  Random center(3, Purpose::test, 0, 0), random(3, Purpose::test, 1, stream);
  const auto normal = [](Random& from) {
    float total = -6;
    for (int i = 0; i < 12; ++i) total += from.uniform();
    return total;
  };
  std::vector<float> centers;
  for (std::int64_t i = 0; i < classes * dim; ++i) centers.push_back(0.4f * normal(center));
  Features result{dim, classes, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int64_t>(random.below(static_cast<std::uint32_t>(classes)));
    result.labels.push_back(static_cast<std::int32_t>(label));
    for (std::int64_t j = 0; j < dim; ++j) {
      const float value = centers[static_cast<std::size_t>(label * dim + j)] + normal(random);
      result.values.push_back(shift + std::round(value / 2048 / quantum) * quantum);
    }
  }
  return result;
}

std::vector<long double> directions(const Features& features) {
  std::vector<long double> result(features.values.begin(), features.values.end());
  for (auto row = result.begin(); row != result.end(); row += features.dim) {
    long double squared = 0;
    for (auto x = row; x != row + features.dim; ++x) squared += *x * *x;
    for (auto x = row; x != row + features.dim; ++x) *x /= std::sqrt(squared);
  }
  return result;
}

long double squared_distance(const std::vector<long double>& rows, std::size_t dim, std::size_t a, std::size_t b) {
  long double total = 0;
  for (std::size_t j = 0; j < dim; ++j)
    total += (rows[a * dim + j] - rows[b * dim + j]) * (rows[a * dim + j] - rows[b * dim + j]);
  return total;
}

TEST(FarFeatures, Uniformity) {
  for (float shift : {0.0f, 1.0f, 1000.0f}) {
    const Features features = blobs(400, 9, 3, shift, 0);
    const std::vector<long double> unit = directions(features);
    long double lost = 0, pairs = 0;  // 1 - exp(-2 |u - u'|^2)
    for (std::size_t i = 0; i < 400; ++i)
      for (std::size_t j = 0; j < i; ++j) lost -= std::expm1(-2 * squared_distance(unit, 9, i, j)), ++pairs;
    const auto expected = static_cast<double>(std::log1p(-lost / pairs));
    EXPECT_NEAR(uniformity_of(features, cpu_backend()), expected, 1e-4 * std::abs(expected)) << shift;
  }
}

TEST(FarFeatures, ClusteringCrowdingAndDeviation) {
  const Features features = blobs(600, 8, 4, 1000, 0);
  const std::vector<long double> unit = directions(features);
  const KMeans found = k_means(unit_rows(features), 8, {.clusters = 4});
  std::vector<long double> means(4 * 8), of_class(4 * 8), all(8);
  std::vector<long double> in_cluster(4), in_class(4);
  for (std::size_t i = 0; i < 600; ++i) {
    const auto cluster = static_cast<std::size_t>(found.cluster[i]),
               label = static_cast<std::size_t>(features.labels[i]);
    ++in_cluster[cluster], ++in_class[label];
    for (std::size_t j = 0; j < 8; ++j) {
      means[cluster * 8 + j] += unit[i * 8 + j];
      of_class[label * 8 + j] += unit[i * 8 + j];
      all[j] += unit[i * 8 + j] / 600;
    }
  }
  for (std::size_t i = 0; i < 32; ++i) means[i] /= in_cluster[i / 8], of_class[i] /= in_class[i / 8];
  long double inertia = 0, intra = 0, inter = 0, deviation = 0;
  for (std::size_t j = 0; j < 8; ++j) {
    long double variance = 0;
    for (std::size_t i = 0; i < 600; ++i) {
      const auto square = [&](long double mean) { return (unit[i * 8 + j] - mean) * (unit[i * 8 + j] - mean); };
      const auto label = static_cast<std::size_t>(features.labels[i]);
      inertia += square(means[static_cast<std::size_t>(found.cluster[i]) * 8 + j]);
      intra += square(of_class[label * 8 + j]) / in_class[label] / 4;
      variance += square(all[j]) / 600;
    }
    deviation += std::sqrt(variance / 8);
  }
  for (std::size_t a = 0; a < 4; ++a)
    for (std::size_t b = 0; b < a; ++b) inter += std::sqrt(squared_distance(of_class, 8, a, b)) / 6;
  const auto expect_close = [](double value, long double expected) {
    EXPECT_NEAR(value, static_cast<double>(expected), 1e-3 * static_cast<double>(expected));
  };
  expect_close(found.inertia, inertia);
  const Crowding crowding = crowding_of(features);
  expect_close(crowding.intra, intra);
  expect_close(crowding.inter, inter);
  expect_close(collapse_of(features).std, deviation);
  // Every point is with the nearest center but for ties.
  for (std::size_t i = 0; i < 600; ++i) {
    long double own = 0, least = INFINITY;
    for (std::size_t c = 0; c < 4; ++c) {
      long double distance = 0;
      for (std::size_t j = 0; j < 8; ++j)
        distance += (unit[i * 8 + j] - means[c * 8 + j]) * (unit[i * 8 + j] - means[c * 8 + j]);
      if (c == static_cast<std::size_t>(found.cluster[i])) own = distance;
      least = std::min(least, distance);
    }
    EXPECT_LE(own, least * (1 + 1e-3L)) << i;
  }
}

#ifndef VERGENCE_PLAIN_CPU
TEST(FarFeatures, TheLogisticProbeFindsAndKeepsItsBorders) {
  // Standardized, features and features plus 1000 are the same: so must be what the probe says of them.
  ProbeSettings settings = default_probe(ProbeProtocol::lbfgs);
  settings.weight_decay = 1e-3;
  const auto accuracy = [&](float shift) {
    const LinearClassifier fit = train_probe(blobs(800, 16, 5, shift, 0), settings, cpu_backend());
    return probe_accuracy(fit, blobs(6000, 16, 5, shift, 1), cpu_backend());
  };
  const ProbeAccuracy here = accuracy(0), there = accuracy(1000);
  EXPECT_GT(here.top1, 40);
  EXPECT_LT(here.top1, 99);
  EXPECT_NEAR(here.top1, there.top1, 0.02);  // one image in 6000
  EXPECT_NEAR(here.top5, there.top5, 0.02);
}
#endif

TEST(FarFeatures, TheDenseProbeFindsAndKeepsItsBorders) {
  const auto maps = [](std::int64_t images, float shift, std::uint64_t stream) {
    LabeledMaps made{images, 2, 2, 12, 2, 2, {}, {}};
    Features cells = blobs(4 * images, 12, 2, shift, stream);
    made.values = std::move(cells.values), made.labels = std::move(cells.labels);
    return made;
  };
  const auto predicted = [&](float shift) {
    const LinearClassifier fit = train_dense(maps(200, shift, 0), {.epochs = 10}, cpu_backend());
    return predict_pixels(fit, maps(2000, shift, 1), cpu_backend());
  };
  const std::vector<std::int32_t> here = predicted(0), there = predicted(1000);
  std::int64_t different = 0;
  for (std::size_t i = 0; i < here.size(); ++i) different += here[i] != there[i];
  EXPECT_LE(different, 1);
  EXPECT_EQ(here.size(), 8000u);
}

}  // namespace
}  // namespace vergence
