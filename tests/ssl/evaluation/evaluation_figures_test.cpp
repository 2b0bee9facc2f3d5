// Figures that are computed from features alone, against known answers and against tests/oracle/evaluation_golden.py.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numbers>
#include <numeric>
#include <set>

#include "kernels/error.h"
#include "kernels/random.h"
#include "ssl/evaluation/geometry/alignment.h"
#include "ssl/evaluation/geometry/clustering.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/crowding.h"
#include "ssl/evaluation/robustness/foreground.h"

namespace vergence {
namespace {

Features features_of(std::int64_t dim, std::int64_t classes, std::vector<float> values,
                     std::vector<std::int32_t> labels) {
  return {dim, classes, std::move(values), std::move(labels)};
}

/// The features that evaluation_golden.py makes too.
Features fixture(std::int64_t rows, std::int64_t dim, double shift = 0) {
  Features features{dim, 3, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(i % 3));
    for (std::int64_t j = 0; j < dim; ++j)
      features.values.push_back(
          static_cast<float>(std::sin(1 + 3.0 * static_cast<double>(i) + 0.7 * static_cast<double>(i * j) + shift) +
                             0.5 * static_cast<double>((i % 3) * (j % 2))));
  }
  return features;
}

Features random_features(std::int64_t rows, std::int64_t dim, std::int64_t classes, std::uint64_t sample) {
  Random random(9, Purpose::test, 0, sample);
  Features features{dim, classes, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(classes))));
    for (std::int64_t j = 0; j < dim; ++j) features.values.push_back(random.uniform(-1, 1));
  }
  return features;
}

// ---- crowding

TEST(Crowding, OfTwoPointMasses) {
  const Crowding result = crowding_of(features_of(2, 2, {2, 0, 0, 3, 7, 0, 0, 1}, {0, 1, 0, 1}));
  EXPECT_EQ(result.classes, 2);
  EXPECT_DOUBLE_EQ(result.intra, 0);
  EXPECT_DOUBLE_EQ(result.inter, std::numbers::sqrt2);
  EXPECT_DOUBLE_EQ(result.ratio, 0);
}

TEST(Crowding, WeighsClassesAlikeAndLeavesOutThoseThatAreNotThere) {
  // Class 0 scatters 4/9 around (2/3, 1/3), class 3 is a point at (-1, 0), classes 1, 2 and 4 have no images.
  const Crowding result = crowding_of(features_of(2, 5, {1, 0, 1, 0, 0, 1, -1, 0}, {0, 0, 0, 3}));
  EXPECT_EQ(result.classes, 2);
  EXPECT_DOUBLE_EQ(result.intra, 2.0 / 9);
  EXPECT_DOUBLE_EQ(result.inter, std::sqrt(26.0) / 3);
  EXPECT_DOUBLE_EQ(result.ratio, 2.0 / 26);
  EXPECT_THROW(crowding_of(features_of(1, 2, {1, 2}, {1, 1})), UsageError);
  EXPECT_THROW(crowding_of(features_of(1, 2, {1, NAN}, {0, 1})), UsageError);
}

TEST(Crowding, OfACollapsedEncoderIsInfinite) {
  Features features{3, 3, {}, {}};  // equal features, whose means differ by rounding
  for (const auto& [label, images] : {std::pair<std::int32_t, int>{0, 37}, {1, 50}, {2, 81}})
    for (int i = 0; i < images; ++i) {
      features.labels.push_back(label);
      features.values.insert(features.values.end(), {0.3f, -0.7f, 0.11f});
    }
  const Crowding result = crowding_of(features);
  EXPECT_EQ(result.inter, 0);
  EXPECT_EQ(result.ratio, std::numeric_limits<double>::infinity());
}

TEST(Crowding, Golden) {
  const Crowding result = crowding_of(fixture(12, 5));
  EXPECT_NEAR(result.intra, 0.617205605303, 1e-9);
  EXPECT_NEAR(result.inter, 0.775447239847, 1e-9);
  EXPECT_NEAR(result.ratio, 1.026420583407, 1e-9);
}

// ---- eigenvalues and what is made of them

/// The error that a backward stable method may make: size epsilon |A|.
double eigenvalue_error(std::size_t size, double norm) {
  return static_cast<double>(size) * std::numeric_limits<double>::epsilon() * norm;
}

TEST(Eigenvalues, OfTheSecondDifference) {
  for (std::int64_t n : {1, 2, 3, 7, 200}) {
    std::vector<double> matrix(static_cast<std::size_t>(n * n));
    for (std::int64_t i = 0; i < n; ++i) {
      matrix[static_cast<std::size_t>(i * n + i)] = 2;
      if (i > 0)
        matrix[static_cast<std::size_t>(i * n + i - 1)] = matrix[static_cast<std::size_t>((i - 1) * n + i)] = -1;
    }
    const std::vector<double> values = symmetric_eigenvalues(matrix, n);
    for (std::int64_t k = 1; k <= n; ++k)
      EXPECT_NEAR(values[static_cast<std::size_t>(k - 1)],
                  2 - 2 * std::cos(std::numbers::pi * static_cast<double>(k) / static_cast<double>(n + 1)),
                  eigenvalue_error(values.size(), 4));
  }
}

/// H diag(values) H for a few reflections H = 1 - 2 v v^T / |v|^2, one inside the other: a full matrix.
std::vector<double> with_eigenvalues(const std::vector<double>& values) {
  const std::size_t n = values.size();
  std::vector<double> matrix(n * n);
  for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] = values[i];
  Random random(3, Purpose::test);
  for (int reflection = 0; reflection < 3; ++reflection) {
    std::vector<double> v(n), product(n);
    double squared = 0, inner = 0;
    for (double& x : v) x = random.uniform(-1, 1), squared += x * x;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) product[i] += 2 / squared * matrix[i * n + j] * v[j];
    for (std::size_t i = 0; i < n; ++i) inner += v[i] * product[i] / squared;
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        matrix[i * n + j] += 2 * inner * v[i] * v[j] - v[i] * product[j] - product[i] * v[j];
  }
  return matrix;
}

TEST(Eigenvalues, OfAFullMatrixWithRepeatedNegativeAndTinyOnes) {
  for (double scale : {1.0, 1e-150, 1e150}) {
    std::vector<double> expected{-3, -3, 0, 1e-9, 2, 5, 5, 5, 100};
    for (double& value : expected) value *= scale;
    const std::vector<double> found = symmetric_eigenvalues(with_eigenvalues(expected), 9);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(found[i], expected[i], eigenvalue_error(9, 100 * scale)) << i;
  }
  std::vector<double> many;
  for (int i = 0; i < 300; ++i) many.push_back(std::pow(0.9, 299 - i));
  const std::vector<double> found = symmetric_eigenvalues(with_eigenvalues(many), 300);
  for (std::size_t i = 0; i < many.size(); ++i) EXPECT_NEAR(found[i], many[i], eigenvalue_error(300, 1)) << i;
}

TEST(Eigenvalues, OfMatricesWithNothingToDo) {
  EXPECT_EQ(symmetric_eigenvalues(std::vector<double>(16), 4), std::vector<double>(4));
  const std::vector<double> diagonal = symmetric_eigenvalues({3, 0, 0, 0, -1, 0, 0, 0, 2}, 3);
  EXPECT_DOUBLE_EQ(diagonal[0], -1);
  EXPECT_DOUBLE_EQ(diagonal[1], 2);
  EXPECT_DOUBLE_EQ(diagonal[2], 3);
  EXPECT_THROW(symmetric_eigenvalues({1, 2, 3}, 2), Error);
}

TEST(Collapse, SingularValuesGolden) {
  const std::vector<double> expected{4.161811428947, 2.582667342124, 2.452927593345, 2.163350620121, 1.450271164009};
  const std::vector<double> found = singular_values(fixture(12, 5));
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-7);
  EXPECT_EQ(singular_values(fixture(4, 7)).size(), 4u);
  // More rows than are held in f64 at a time: doubling the rows makes every value sqrt(2) larger.
  Features once = random_features(1500, 6, 2, 0), twice = once;
  twice.values.insert(twice.values.end(), once.values.begin(), once.values.end());
  twice.labels.insert(twice.labels.end(), once.labels.begin(), once.labels.end());
  const std::vector<double> of_once = singular_values(once), of_twice = singular_values(twice);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_NEAR(of_twice[i], std::numbers::sqrt2 * of_once[i], 1e-10);
}

TEST(Collapse, RankMe) {
  EXPECT_NEAR(rank_me(singular_values(fixture(12, 5))), 4.718997898489, 1e-7);
  EXPECT_NEAR(rank_me(singular_values(fixture(4, 7))), 3.801394454864, 1e-7);
  // Orthonormal columns: the full rank. Equal rows: rank one.
  Features waves{8, 2, {}, std::vector<std::int32_t>(64)}, equal{8, 2, {}, std::vector<std::int32_t>(64)};
  for (int i = 0; i < 64; ++i)
    for (int j = 0; j < 8; ++j) {
      waves.values.push_back(static_cast<float>(std::cos(std::numbers::pi * (i + 0.5) * (j + 1) / 64)));
      equal.values.push_back(static_cast<float>(j + 1));
    }
  EXPECT_NEAR(rank_me(singular_values(waves)), 8, 1e-4);
  EXPECT_NEAR(rank_me(singular_values(equal)), 1, 1e-4);
  EXPECT_NEAR(rank_me({0, 0, 0}), 1, 1e-4);
  // By hand: shares 3/4 and 1/4, each a little more.
  const double a = 0.75 + 1e-7, b = 0.25 + 1e-7;
  EXPECT_DOUBLE_EQ(rank_me({3, 1}), std::exp(-a * std::log(a) - b * std::log(b)));
}

TEST(Collapse, DeviationOfUnitFeatures) {
  EXPECT_NEAR(collapse_of(fixture(12, 5)).std, 0.905949242609, 1e-8);
  // Plus and minus each axis: isotropic. All in one direction: collapsed.
  const Features axes = features_of(2, 1, {5, 0, -2, 0, 0, 1, 0, -3}, {0, 0, 0, 0});
  EXPECT_NEAR(collapse_of(axes).std, 1, 1e-12);
  EXPECT_NEAR(collapse_of(features_of(2, 1, {1, 1, 2, 2, 30, 30}, {0, 0, 0})).std, 0, 1e-12);
}

// ---- alignment and uniformity

TEST(Alignment, GoldenAndExtremes) {
  const Features x = fixture(12, 5), y = fixture(12, 5, 0.3);
  EXPECT_NEAR(alignment_of(x, y), 0.389511441886, 1e-8);
  EXPECT_NEAR(alignment_of(x, y, 1), 0.401464703114, 1e-8);
  EXPECT_DOUBLE_EQ(alignment_of(x, x), 0);
  Features opposite = x;
  for (float& value : opposite.values) value *= -2;
  EXPECT_NEAR(alignment_of(x, opposite), 4, 1e-12);
  EXPECT_THROW(alignment_of(x, fixture(11, 5)), UsageError);
}

TEST(Uniformity, GoldenAndExtremes) {
  EXPECT_NEAR(uniformity_of(fixture(12, 5), cpu_backend()), -2.433583330325, 1e-6);
  EXPECT_NEAR(uniformity_of(features_of(2, 1, {1, 0, -3, 0}, {0, 0}), cpu_backend()), -8, 1e-6);
  EXPECT_NEAR(uniformity_of(features_of(2, 1, {1, 1, 2, 2, 3, 3}, {0, 0, 0}), cpu_backend()), 0, 1e-6);
  EXPECT_THROW(uniformity_of(features_of(2, 1, {1, 1}, {0}), cpu_backend()), UsageError);
}

TEST(Uniformity, EqualsADoubleLoopOverSeveralBlocks) {
  const Features features = random_features(2100, 4, 2, 1);
  const std::vector<double> unit = unit_rows(features);
  double total = 0, pairs = 0;
  for (std::size_t i = 0; i < 2100; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      double squared = 0;
      for (std::size_t k = 0; k < 4; ++k) squared += std::pow(unit[i * 4 + k] - unit[j * 4 + k], 2);
      total += std::exp(-3 * squared), ++pairs;
    }
  EXPECT_NEAR(uniformity_of(features, cpu_backend(), 3), std::log(total / pairs), 1e-6);
}

// ---- agreement

TEST(Assignment, EqualsTryingAll) {
  Random random(4, Purpose::test);
  for (std::int64_t n = 1; n <= 7; ++n)
    for (int round = 0; round < 30; ++round) {
      std::vector<double> cost;  // whole numbers, so that there are ties
      for (std::int64_t i = 0; i < n * n; ++i) cost.push_back(static_cast<double>(random.below(12)) - 6);
      const auto at = [&](std::int64_t row, std::int32_t column) {
        return cost[static_cast<std::size_t>(row * n + column)];
      };
      std::vector<std::int32_t> order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      double least = INFINITY;
      do {
        double total = 0;
        for (std::int64_t i = 0; i < n; ++i) total += at(i, order[static_cast<std::size_t>(i)]);
        least = std::min(least, total);
      } while (std::next_permutation(order.begin(), order.end()));
      std::vector<std::int32_t> found = cheapest_assignment(cost, n);
      double total = 0;
      for (std::int64_t i = 0; i < n; ++i) total += at(i, found[static_cast<std::size_t>(i)]);
      EXPECT_DOUBLE_EQ(total, least) << n;
      std::sort(found.begin(), found.end());
      for (std::int32_t i = 0; i < n; ++i) EXPECT_EQ(found[static_cast<std::size_t>(i)], i);
    }
  EXPECT_THROW(cheapest_assignment({1, NAN, 0, 0}, 2), Error);
}

TEST(Agreement, OfRenamedClassesIsPerfect) {
  std::vector<std::int32_t> classes, groups;
  for (std::int32_t i = 0; i < 100; ++i) classes.push_back(i * i % 7), groups.push_back((classes.back() * 3 + 2) % 7);
  const Agreement result = agreement_of(groups, classes, 7);
  EXPECT_DOUBLE_EQ(result.accuracy, 100);
  EXPECT_NEAR(result.nmi, 1, 1e-12);
  EXPECT_NEAR(result.ari, 1, 1e-12);
}

TEST(Agreement, OfRandomGroupsIsNone) {
  Random random(6, Purpose::test);
  std::vector<std::int32_t> classes, groups;
  for (int i = 0; i < 6000; ++i)
    classes.push_back(static_cast<std::int32_t>(random.below(10))),
        groups.push_back(static_cast<std::int32_t>(random.below(10)));
  const Agreement result = agreement_of(groups, classes, 10);
  EXPECT_NEAR(result.accuracy, 11, 1.5);
  EXPECT_NEAR(result.nmi, 0, 0.01);
  EXPECT_NEAR(result.ari, 0, 0.003);
}

TEST(Agreement, GoldenAndSingleGroups) {
  const std::vector<std::int32_t> groups{0, 0, 1, 1, 2, 2, 3, 3, 0, 1, 2, 3, 3, 3};
  const std::vector<std::int32_t> classes{2, 2, 0, 0, 1, 3, 3, 1, 2, 2, 1, 1, 3, 3};
  const Agreement result = agreement_of(groups, classes, 4);
  EXPECT_NEAR(result.accuracy, 71.428571428571, 1e-9);
  EXPECT_NEAR(result.nmi, 0.618963456244, 1e-12);
  EXPECT_NEAR(result.ari, 0.334795321637, 1e-12);
  const Agreement one = agreement_of({0, 0, 0, 0}, {0, 1, 1, 1}, 2);
  EXPECT_DOUBLE_EQ(one.accuracy, 75);
  EXPECT_DOUBLE_EQ(one.nmi, 0);
  EXPECT_DOUBLE_EQ(one.ari, 0);
  const Agreement both = agreement_of({1, 1}, {0, 0}, 2);
  EXPECT_DOUBLE_EQ(both.accuracy, 100);
  EXPECT_DOUBLE_EQ(both.nmi, 1);
  EXPECT_DOUBLE_EQ(both.ari, 1);
  EXPECT_THROW(agreement_of({0, 2}, {0, 1}, 2), Error);
  EXPECT_THROW(agreement_of({}, {}, 2), Error);
}

// ---- k-means

std::vector<double> wide(const Features& features) { return {features.values.begin(), features.values.end()}; }

TEST(KMeans, FindsTheBestOfAllPartitions) {
  const KMeans found = k_means(wide(fixture(9, 2)), 2, {.clusters = 3});
  EXPECT_NEAR(found.inertia, 1.790080202597, 1e-9);
}

TEST(KMeans, FindsClustersThatLieApart) {
  Features features = random_features(900, 8, 6, 2);
  for (std::size_t i = 0; i < features.values.size(); ++i)
    if (i % 8 == static_cast<std::size_t>(features.labels[i / 8])) features.values[i] += 9;
  const Agreement result = clustering_of(features, 1);
  EXPECT_DOUBLE_EQ(result.accuracy, 100);
  EXPECT_NEAR(result.nmi, 1, 1e-12);
  EXPECT_NEAR(result.ari, 1, 1e-12);
}

TEST(KMeans, EndsWhereEveryCenterIsTheMeanOfItsNearestPoints) {
  const std::vector<double> points = wide(random_features(400, 3, 2, 3));
  const KMeansSettings settings{.clusters = 7, .restarts = 3, .seed = 5};
  const KMeans found = k_means(points, 3, settings);
  EXPECT_EQ(found.cluster, k_means(points, 3, settings).cluster);
  std::vector<double> mean(21), count(7);
  for (std::size_t i = 0; i < 400; ++i) ++count[static_cast<std::size_t>(found.cluster[i])];
  double inertia = 0;
  for (std::size_t i = 0; i < 400; ++i) {
    const auto own = static_cast<std::size_t>(found.cluster[i]);
    std::vector<double> distance(7);
    for (std::size_t c = 0; c < 7; ++c)
      for (std::size_t j = 0; j < 3; ++j) distance[c] += std::pow(points[i * 3 + j] - found.centers[c * 3 + j], 2);
    EXPECT_LE(distance[own], *std::min_element(distance.begin(), distance.end()) + 1e-12);
    inertia += distance[own];
    for (std::size_t j = 0; j < 3; ++j) mean[own * 3 + j] += points[i * 3 + j] / count[own];
  }
  for (std::size_t i = 0; i < 21; ++i) EXPECT_NEAR(found.centers[i], mean[i], 1e-12);
  EXPECT_NEAR(found.inertia, inertia, 1e-9);
}

TEST(KMeans, KeepsTheBestRestart) {
  const std::vector<double> points = wide(random_features(400, 3, 2, 3));
  std::set<double> different;
  double least = INFINITY;
  for (std::int64_t restarts = 1; restarts <= 8; ++restarts) {
    const double inertia = k_means(points, 3, {.clusters = 7, .restarts = restarts, .seed = 5}).inertia;
    EXPECT_LE(inertia, least);
    least = inertia;
    different.insert(inertia);
  }
  EXPECT_GT(different.size(), 1u);
}

TEST(KMeans, CopesWithFewerDifferentPointsThanClusters) {
  const KMeans found = k_means({0, 0, 0, 1, 1}, 1, {.clusters = 3});
  EXPECT_DOUBLE_EQ(found.inertia, 0);
  for (double center : found.centers) EXPECT_TRUE(std::isfinite(center));
  EXPECT_THROW(k_means({0, 1}, 1, {.clusters = 3}), UsageError);
}

// ---- swapped backgrounds

/// The predictions that evaluation_golden.py makes too.
TEST(BackgroundSwaps, Golden) {
  std::vector<std::int32_t> labels, families, before, after;
  for (std::int32_t i = 0; i < 97; ++i) {
    labels.push_back(i * i % 10);
    families.push_back((3 * i + 1) % 10);
    before.push_back(i % 3 > 0 ? labels.back() : i % 10);
    after.push_back(i % 7 < 3 ? before.back() : i % 5 < 2 ? families.back() : i / 2 % 10);
  }
  const BackgroundSwap swap = swap_of(labels, families, before, after);
  EXPECT_NEAR(swap.full, 80.412371134021, 1e-9);
  EXPECT_NEAR(swap.repaired, 38.144329896907, 1e-9);
  EXPECT_NEAR(swap.drop(), 42.268041237113, 1e-9);
  EXPECT_NEAR(swap.changed, 53.608247422680, 1e-9);
  EXPECT_NEAR(swap.followed, 44.230769230769, 1e-9);
}

TEST(BackgroundSwaps, WhereNothingChangesNothingFollows) {
  // One right, one wrong, one unknown; the second image's new background is of the family that it was taken for before.
  const BackgroundSwap swap = swap_of({0, 1, 2}, {3, 2, 0}, {0, 2, -1}, {0, 2, -1});
  EXPECT_DOUBLE_EQ(swap.full, 100.0 / 3);
  EXPECT_DOUBLE_EQ(swap.drop(), 0);
  EXPECT_DOUBLE_EQ(swap.changed, 0);
  EXPECT_TRUE(std::isnan(swap.followed));
  EXPECT_THROW(swap_of({}, {}, {}, {}), Error);
  EXPECT_THROW(swap_of({0, 1}, {0, 1}, {0, 1}, {0}), Error);
}

TEST(BackgroundSwaps, PredictionsAreThoseThatAreCounted) {
  // logits: x of class 1, 0.5 of class 0, 0 of class 2
  const LinearClassifier classifier{1, 3, {0, 1, 0}, {0.5f, 0, 0}};
  const Features features = features_of(1, 3, {2, 0.5f, -1, 1}, {1, 0, 2, 0});
  const std::vector<std::int32_t> predicted = probe_predictions(classifier, features, cpu_backend());
  EXPECT_EQ(predicted, (std::vector<std::int32_t>{1, 0, 0, 1}));  // of equal logits the smaller class
  EXPECT_DOUBLE_EQ(probe_accuracy(classifier, features, cpu_backend()).top1, 50);
  const LinearClassifier broken{1, 3, {0, 1, 0}, {0.5f, 0, INFINITY}};
  EXPECT_EQ(probe_predictions(broken, features, cpu_backend()), std::vector<std::int32_t>(4, -1));
}

}  // namespace
}  // namespace vergence
