// kNN and linear probes against naive references.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/random.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/probes/logistic.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/probes/standardize.h"

namespace vergence {
namespace {

Features features_of(std::int64_t dim, std::int64_t classes, std::vector<float> values,
                     std::vector<std::int32_t> labels) {
  return {dim, classes, std::move(values), std::move(labels)};
}

/// A roughly normal number: the sum of twelve uniform ones.
float normal(Random& random) {
  float total = -6;
  for (int i = 0; i < 12; ++i) total += random.uniform();
  return total;
}

/// Gaussian blobs around class centers; `spread` 1 and `distance` large are separable.
Features blobs(std::int64_t rows, std::int64_t dim, std::int64_t classes, float distance, std::uint64_t sample) {
  Random center_random(7, Purpose::test, 0, 0), random(7, Purpose::test, 1, sample);
  std::vector<float> centers;
  for (std::int64_t i = 0; i < classes * dim; ++i) centers.push_back(distance * normal(center_random));
  Features result{dim, classes, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    const auto label = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(classes)));
    result.labels.push_back(label);
    for (std::int64_t j = 0; j < dim; ++j)
      result.values.push_back(centers[static_cast<std::size_t>(label * dim + j)] + normal(random));
  }
  return result;
}

// ---- kNN

TEST(Knn, MajorityOfTheNearest) {
  // On a line: the query at 0 has its neighbors at distance 1, 2, 3, 4, 5, then class 0 in masses.
  const Features bank = features_of(1, 3, {-1, 2, -3, 4, 5, 6, 7, 8, 9}, {1, 2, 1, 2, 2, 0, 0, 0, 0});
  const Features query = features_of(1, 3, {0, 100}, {2, 1});
  const KnnResult three = knn_classify(bank, query, {{Distance::euclidean, 3, 0}}, cpu_backend())[0];
  EXPECT_EQ(three.predicted, (std::vector<std::int32_t>{1, 0}));
  EXPECT_DOUBLE_EQ(three.top1, 0);
  const KnnResult five = knn_classify(bank, query, {{Distance::euclidean, 5, 0}}, cpu_backend())[0];
  EXPECT_EQ(five.predicted, (std::vector<std::int32_t>{2, 0}));
  EXPECT_DOUBLE_EQ(five.top1, 50);
}

TEST(Knn, TiesGoToTheSmallerClassAndTheEarlierRow) {
  const Features bank = features_of(1, 3, {1, -1, 2, -2}, {2, 1, 1, 2});
  const Features query = features_of(1, 3, {0}, {1});
  // k = 4: two votes each, the smaller class wins; k = 1: rows 0 and 1 are equally near, the earlier row wins.
  EXPECT_EQ(knn_classify(bank, query, {{Distance::euclidean, 4, 0}}, cpu_backend())[0].predicted[0], 1);
  EXPECT_EQ(knn_classify(bank, query, {{Distance::euclidean, 1, 0}}, cpu_backend())[0].predicted[0], 2);
  for (std::int64_t block : {1, 2, 3})
    EXPECT_EQ(knn_classify(bank, query, {{Distance::euclidean, 1, 0}}, cpu_backend(), {1, block})[0].predicted[0], 2);
}

TEST(Knn, CosineIgnoresLengthAndWeighsVotes) {
  // Similarities to (1, 0): row 0 is 1 (far away in Euclidean terms), rows 1 and 2 are 0.6.
  const Features bank = features_of(2, 2, {50, 0, 0.6f, 0.8f, 3, 4}, {1, 0, 0});
  const Features query = features_of(2, 2, {1, 0}, {1});
  const std::vector<KnnForm> forms{
      {Distance::cosine, 3, 0.1}, {Distance::cosine, 3, 0}, {Distance::cosine, 3, 10}, {Distance::euclidean, 1, 0}};
  const auto results = knn_classify(bank, query, forms, cpu_backend());
  EXPECT_EQ(results[0].predicted[0], 1);  // exp(10) against 2 exp(6)
  EXPECT_EQ(results[1].predicted[0], 0);  // one vote against two
  EXPECT_EQ(results[2].predicted[0], 0);  // exp(0.1) against 2 exp(0.06)
  EXPECT_EQ(results[3].predicted[0], 0);
}

std::int32_t naive_knn(const Features& bank, const float* q, const KnnForm& form) {
  std::vector<std::pair<double, std::int32_t>> order;  // (-nearness, row)
  for (std::int64_t i = 0; i < bank.rows(); ++i) {
    double dot = 0, qq = 0, bb = 0, distance = 0;
    for (std::int64_t j = 0; j < bank.dim; ++j) {
      const double a = q[j], b = bank.row(i)[j];
      dot += a * b, qq += a * a, bb += b * b, distance += (a - b) * (a - b);
    }
    order.emplace_back(form.distance == Distance::cosine ? -dot / std::sqrt(qq * bb) : distance,
                       static_cast<std::int32_t>(i));
  }
  std::sort(order.begin(), order.end());
  std::vector<double> votes(static_cast<std::size_t>(bank.classes), 0.0);
  for (std::int64_t i = 0; i < std::min(form.k, bank.rows()); ++i) {
    const auto& [score, row] = order[static_cast<std::size_t>(i)];
    votes[static_cast<std::size_t>(bank.labels[static_cast<std::size_t>(row)])] +=
        form.temperature > 0 ? std::exp(-score / form.temperature) : 1;
  }
  return static_cast<std::int32_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
}

TEST(Knn, EqualsADoubleLoopInEveryBlocking) {
  const Features bank = blobs(1501, 13, 7, 0.4f, 0), query = blobs(203, 13, 7, 0.4f, 1);
  const std::vector<KnnForm> forms{knn_cosine_200(), knn_euclidean_5(), {Distance::euclidean, 1, 0}};
  const auto reference = knn_classify(bank, query, forms, cpu_backend());
  for (std::size_t f = 0; f < forms.size(); ++f) {
    std::int64_t hits = 0;
    for (std::int64_t i = 0; i < query.rows(); ++i) {
      const std::int32_t expected = naive_knn(bank, query.row(i), forms[f]);
      EXPECT_EQ(reference[f].predicted[static_cast<std::size_t>(i)], expected) << "form " << f << " query " << i;
      hits += expected == query.labels[static_cast<std::size_t>(i)];
    }
    EXPECT_DOUBLE_EQ(reference[f].top1, 100.0 * static_cast<double>(hits) / static_cast<double>(query.rows()));
    EXPECT_GT(reference[f].top1, 100.0 / 7 + 10);  // the case is neither trivial nor hopeless
    EXPECT_LT(reference[f].top1, 99);
  }
  for (const KnnBlocks blocks : {KnnBlocks{1, 1501}, KnnBlocks{203, 100}, KnnBlocks{64, 97}}) {
    const auto blocked = knn_classify(bank, query, forms, cpu_backend(), blocks);
    for (std::size_t f = 0; f < forms.size(); ++f) EXPECT_EQ(blocked[f].predicted, reference[f].predicted);
  }
}

TEST(Knn, CutsKToTheBankAndRefusesBadFeatures) {
  const Features bank = features_of(1, 2, {0, 1, 2}, {0, 1, 1}), query = features_of(1, 2, {0}, {1});
  const KnnResult result = knn_classify(bank, query, {{Distance::euclidean, 5, 0}}, cpu_backend())[0];
  EXPECT_EQ(result.k, 3);
  EXPECT_EQ(result.predicted[0], 1);
  const std::vector<KnnForm> form{{Distance::euclidean, 1, 0}};
  EXPECT_THROW(knn_classify(features_of(1, 2, {}, {}), query, form, cpu_backend()), UsageError);
  EXPECT_THROW(knn_classify(features_of(1, 2, {NAN}, {0}), query, form, cpu_backend()), UsageError);
  EXPECT_THROW(knn_classify(features_of(1, 2, {0}, {2}), query, form, cpu_backend()), UsageError);
  EXPECT_THROW(knn_classify(features_of(2, 2, {0, 0}, {0}), query, form, cpu_backend()), UsageError);
  EXPECT_THROW(knn_classify(features_of(1, 2, {0, 1}, {0}), query, form, cpu_backend()), Error);
}

// ---- probes

ProbeSettings quick(ProbeProtocol protocol) {
  ProbeSettings settings = default_probe(protocol, 100);
  settings.epochs = 30;
  return settings;
}

class EveryProtocol : public testing::TestWithParam<ProbeProtocol> {
 protected:
  void SetUp() override {
#ifndef VERGENCE_LBFGS
    if (GetParam() == ProbeProtocol::lbfgs) GTEST_SKIP() << "this build has no liblbfgs";
#endif
  }
};

TEST_P(EveryProtocol, SeparatesBlobsAndOnlyGuessesRandomLabels) {
  const Features train = blobs(950, 16, 5, 2.0f, 0), test = blobs(600, 16, 5, 2.0f, 1);
  const LinearClassifier fit = train_probe(train, quick(GetParam()), cpu_backend());
  EXPECT_GE(probe_accuracy(fit, test, cpu_backend()).top1, 99);

  Features shuffled = train;
  Random random(3, Purpose::test);
  for (auto& label : shuffled.labels) label = static_cast<std::int32_t>(random.below(5));
  Features fair = test;  // labels that no feature tells anything about
  for (auto& label : fair.labels) label = static_cast<std::int32_t>(random.below(5));
  const LinearClassifier guess = train_probe(shuffled, quick(GetParam()), cpu_backend());
  EXPECT_NEAR(probe_accuracy(guess, fair, cpu_backend()).top1, 20, 8);
}

TEST_P(EveryProtocol, TwiceTheSame) {
  const Features train = blobs(333, 9, 4, 0.5f, 0);
  const LinearClassifier a = train_probe(train, quick(GetParam()), cpu_backend());
  const LinearClassifier b = train_probe(train, quick(GetParam()), cpu_backend());
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.bias, b.bias);
  ProbeSettings other = quick(GetParam());
  other.seed = 2;
  const LinearClassifier c = train_probe(train, other, cpu_backend());
  if (GetParam() == ProbeProtocol::lbfgs)
    EXPECT_EQ(a.weight, c.weight);  // convex and started from zero
  else
    EXPECT_NE(a.weight, c.weight);
}

INSTANTIATE_TEST_SUITE_P(Probe, EveryProtocol,
                         testing::Values(ProbeProtocol::adam, ProbeProtocol::sgd, ProbeProtocol::lbfgs),
                         [](const auto& info) { return name_of(info.param); });

/// The mean cross-entropy and its gradient (weights, then biases), in doubles and plain loops.
double naive_loss(const Features& f, const std::vector<double>& point, std::vector<double>& gradient) {
  const auto dim = static_cast<std::size_t>(f.dim), classes = static_cast<std::size_t>(f.classes);
  gradient.assign(point.size(), 0);
  double loss = 0;
  for (std::int64_t i = 0; i < f.rows(); ++i) {
    std::vector<double> p(classes);
    for (std::size_t c = 0; c < classes; ++c) {
      p[c] = point[classes * dim + c];
      for (std::size_t j = 0; j < dim; ++j) p[c] += point[c * dim + j] * f.row(i)[j];
    }
    double total = 0;
    for (double& v : p) total += v = std::exp(v);
    for (std::size_t c = 0; c < classes; ++c) {
      const bool truth = c == static_cast<std::size_t>(f.labels[static_cast<std::size_t>(i)]);
      if (truth) loss -= std::log(p[c] / total) / static_cast<double>(f.rows());
      const double g = (p[c] / total - truth) / static_cast<double>(f.rows());
      for (std::size_t j = 0; j < dim; ++j) gradient[c * dim + j] += g * f.row(i)[j];
      gradient[classes * dim + c] += g;
    }
  }
  return loss;
}

TEST(Probe, AdamFollowsANaiveReference) {
  // One batch holds everything, so an epoch is one step and the order of the examples does not matter.
  const Features train = blobs(40, 6, 3, 0.5f, 0);
  ProbeSettings settings = default_probe(ProbeProtocol::adam);
  settings.epochs = 3, settings.weight_decay = 0.01, settings.seed = 5;
  const LinearClassifier start = initial_classifier(6, 3, 5);
  std::vector<double> point(start.weight.begin(), start.weight.end());
  point.insert(point.end(), start.bias.begin(), start.bias.end());
  std::vector<double> first(point.size(), 0.0), second(first), gradient, losses;
  const double rates[] = {1e-2, 1e-2 * std::pow(1e-4, 1.0 / 3), 1e-2 * std::pow(1e-4, 2.0 / 3)};
  for (int step = 1; step <= 3; ++step) {
    losses.push_back(naive_loss(train, point, gradient));
    for (std::size_t i = 0; i < point.size(); ++i) {
      const double g = gradient[i] + 0.01 * point[i];
      first[i] = 0.9 * first[i] + 0.1 * g;
      second[i] = 0.999 * second[i] + 0.001 * g * g;
      point[i] -= rates[step - 1] * first[i] / (1 - std::pow(0.9, step)) /
                  (std::sqrt(second[i] / (1 - std::pow(0.999, step))) + 1e-8);
    }
  }
  std::vector<double> seen;
  const LinearClassifier end =
      train_probe(train, settings, cpu_backend(), [&](std::int64_t, double loss) { seen.push_back(loss); });
  for (std::size_t i = 0; i < end.weight.size(); ++i) EXPECT_NEAR(end.weight[i], point[i], 2e-6) << i;
  for (std::size_t i = 0; i < end.bias.size(); ++i) EXPECT_NEAR(end.bias[i], point[end.weight.size() + i], 2e-6);
  ASSERT_EQ(seen.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(seen[i], losses[i], 1e-5);
  EXPECT_LT(losses[2], losses[0]);
}

TEST(Probe, AnEpochSeesEveryRowOnce) {
  // With a learning rate too small to matter, the mean loss of an epoch in ragged batches is the loss of the start.
  const Features train = blobs(101, 6, 3, 0.5f, 0);
  ProbeSettings settings = default_probe(ProbeProtocol::sgd, 25);
  settings.epochs = 2, settings.lr = 1e-12;
  const LinearClassifier start = initial_classifier(6, 3, settings.seed);
  std::vector<double> point(start.weight.begin(), start.weight.end()), gradient;
  point.insert(point.end(), start.bias.begin(), start.bias.end());
  const double expected = naive_loss(train, point, gradient);
  std::vector<double> losses;
  train_probe(train, settings, cpu_backend(), [&](std::int64_t, double loss) { losses.push_back(loss); });
  ASSERT_EQ(losses.size(), 2u);
  for (const double loss : losses) EXPECT_NEAR(loss, expected, 1e-5 * expected);
}

TEST(Probe, SgdAsksForTheFeaturesOfEachEpoch) {
  std::vector<std::int64_t> asked;
  const FeatureSource source = [&](std::int64_t epoch) {
    asked.push_back(epoch);
    return blobs(300, 8, 3, 2.0f, static_cast<std::uint64_t>(epoch));
  };
  ProbeSettings settings = quick(ProbeProtocol::sgd);
  settings.epochs = 6;
  const LinearClassifier fit = train_probe(source, settings, cpu_backend());
  EXPECT_EQ(asked, (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_GE(probe_accuracy(fit, blobs(300, 8, 3, 2.0f, 99), cpu_backend()).top1, 97);
}

TEST(Probe, SgdFollowsANaiveReference) {
  const Features train = blobs(40, 6, 3, 0.5f, 0);  // one batch, as above
  ProbeSettings settings = default_probe(ProbeProtocol::sgd, 40);
  settings.epochs = 3, settings.momentum = 0.5, settings.weight_decay = 0.01;
  settings.lr = 0.2 * 256 / 40, settings.schedule = ProbeSchedule::cosine;
  const LinearClassifier start = initial_classifier(6, 3, settings.seed);
  std::vector<double> point(start.weight.begin(), start.weight.end()), gradient;
  point.insert(point.end(), start.bias.begin(), start.bias.end());
  std::vector<double> velocity(point.size());
  for (const double rate : {0.2, 0.15, 0.05}) {  // half a cosine
    naive_loss(train, point, gradient);
    for (std::size_t i = 0; i < point.size(); ++i) {
      velocity[i] = 0.5 * velocity[i] + gradient[i] + 0.01 * point[i];
      point[i] -= rate * velocity[i];
    }
  }
  const LinearClassifier end = train_probe(train, settings, cpu_backend());
  for (std::size_t i = 0; i < end.weight.size(); ++i) EXPECT_NEAR(end.weight[i], point[i], 2e-6) << i;
  for (std::size_t i = 0; i < end.bias.size(); ++i) EXPECT_NEAR(end.bias[i], point[end.weight.size() + i], 2e-6);
}

TEST(Probe, DefaultsAreThePublishedOnes) {
  const auto text = [](const ProbeSettings& s) {
    return join(s.epochs, " epochs of batch ", s.batch, ", ", name_of(s.schedule), ", lr ", s.lr, " to ", s.final_lr,
                ", momentum ", s.momentum, ", weight decay ", s.weight_decay, ", seed ", s.seed);
  };
  EXPECT_EQ(text(default_probe(ProbeProtocol::adam)),
            "500 epochs of batch 1000, exponential, lr 0.01 to 1e-06, momentum 0.9, weight decay 5e-06, seed 1");
  EXPECT_EQ(text(default_probe(ProbeProtocol::sgd)),
            "100 epochs of batch 256, step, lr 0.1 to 1e-06, momentum 0.9, weight decay 0, seed 1");
  const ProbeSettings lbfgs = default_probe(ProbeProtocol::lbfgs);
  EXPECT_EQ(lbfgs.epochs, 1000);
  EXPECT_EQ(lbfgs.weight_decay, 1e-4);
}

TEST(Probe, Schedules) {
  ProbeSettings settings = default_probe(ProbeProtocol::adam);
  EXPECT_DOUBLE_EQ(probe_lr(settings, 0), 1e-2);
  EXPECT_NEAR(probe_lr(settings, 250), 1e-4, 1e-12);
  settings = default_probe(ProbeProtocol::sgd, 512);
  EXPECT_DOUBLE_EQ(probe_lr(settings, 59), 0.2);
  EXPECT_DOUBLE_EQ(probe_lr(settings, 60), 0.2 * 0.1);
  EXPECT_DOUBLE_EQ(probe_lr(settings, 79), 0.2 * 0.1);
  EXPECT_DOUBLE_EQ(probe_lr(settings, 80), 0.2 * 0.01);
  settings.schedule = ProbeSchedule::cosine;
  EXPECT_NEAR(probe_lr(settings, 50), 0.1, 1e-12);
}

TEST(Probe, LogisticGradientAgainstFiniteDifferences) {
  const Features train = blobs(2500, 5, 4, 0.7f, 0);  // more rows than one block
  Random random(11, Purpose::test);
  std::vector<double> point, gradient, unused;
  for (int i = 0; i < 24; ++i) point.push_back(0.5 * normal(random));
  const double loss = logistic_loss(train, 0.03, point, gradient);
  double penalty = 0;
  for (std::size_t i = 0; i < 20; ++i) penalty += 0.015 * point[i] * point[i];  // the biases are free
  EXPECT_NEAR(loss, naive_loss(train, point, unused) + penalty, 1e-9);
  ASSERT_EQ(gradient.size(), point.size());
  for (std::size_t i = 0; i < point.size(); ++i) {
    std::vector<double> up = point, down = point;
    up[i] += 1e-5, down[i] -= 1e-5;
    const double numeric = (logistic_loss(train, 0.03, up, unused) - logistic_loss(train, 0.03, down, unused)) / 2e-5;
    EXPECT_NEAR(gradient[i], numeric, 1e-8) << i;
  }
}

#ifndef VERGENCE_PLAIN_CPU
TEST(Probe, LbfgsEndsWhereTheGradientVanishes) {
  // Features of very different scales: standardizing inside must not show in the classifier that comes back.
  Features train = blobs(800, 6, 3, 0.6f, 0);
  std::vector<double> mean(6, 0.0), deviation(6, 0.0);
  for (std::int64_t i = 0; i < train.rows(); ++i)
    for (std::size_t j = 0; j < 6; ++j) {
      float& value = train.values[static_cast<std::size_t>(i) * 6 + j];
      value = value * static_cast<float>(j * j * 10 + 1) + 3;
      mean[j] += value / 800.0;
    }
  for (std::int64_t i = 0; i < train.rows(); ++i)
    for (std::size_t j = 0; j < 6; ++j) deviation[j] += std::pow(train.row(i)[j] - mean[j], 2) / 800.0;
  ProbeSettings settings = default_probe(ProbeProtocol::lbfgs);
  settings.weight_decay = 0.01;
  const LinearClassifier fit = train_probe(train, settings, cpu_backend());
  std::vector<double> point(fit.weight.begin(), fit.weight.end()), gradient;
  for (std::size_t c = 0; c < 3; ++c) {
    point.push_back(fit.bias[c]);
    for (std::size_t j = 0; j < 6; ++j) point.back() -= point[c * 6 + j] * fit.center[j];
  }
  naive_loss(train, point, gradient);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(gradient[18 + c], 0, 2e-5);
    for (std::size_t j = 0; j < 6; ++j) {  // by the weight of the standardized feature, penalty included
      const double scale = std::sqrt(deviation[j]);
      const double slope = (gradient[c * 6 + j] - mean[j] * gradient[18 + c]) / scale + 0.01 * point[c * 6 + j] * scale;
      EXPECT_NEAR(slope, 0, 5e-5) << c << " " << j;
    }
  }
}
#endif

TEST(Standardization, DoesNotDependOnTheFeaturesScale) {
  const std::vector<float> values{1, 5, 0, 7, 2, 5, 0, 7, 4, 5, 0, 7.5f};  // the second and third are constant
  const std::vector<float> expected = Standardization(values, 4).apply(values);
  for (const float scale : {1e-12f, 1e-9f, 1e9f}) {
    std::vector<float> scaled = values;
    for (float& value : scaled) value *= scale;
    const Standardization standardization(scaled, 4);
    EXPECT_EQ(standardization.inverse[1], 0) << scale;
    EXPECT_EQ(standardization.inverse[2], 0) << scale;
    const std::vector<float> found = standardization.apply(scaled);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5) << scale;
  }
}

#ifdef VERGENCE_LBFGS
TEST(Probe, LbfgsEndsNearTheOptimumAtSmallPenaltiesToo) {
  const Features train = blobs(1000, 200, 10, 0.2f, 0);
  const Standardization standardization(train.values, train.dim);
  const Features features{train.dim, train.classes, standardization.apply(train.values), train.labels};
  ProbeSettings settings = default_probe(ProbeProtocol::lbfgs);
  for (const double lambda : {1e-6, 1e-5, 1e-4}) {
    settings.weight_decay = lambda;
    const LinearClassifier fit = train_probe(train, settings, cpu_backend());
    ASSERT_TRUE(fit.convergence.has_value());
    EXPECT_TRUE(fit.convergence->reached);
    std::vector<double> point, gradient;
    for (std::size_t i = 0; i < fit.weight.size(); ++i)
      point.push_back(fit.weight[i] / standardization.inverse[i % standardization.inverse.size()]);
    point.insert(point.end(), fit.bias.begin(), fit.bias.end());
    const double loss = logistic_loss(features, lambda, point, gradient);
    // The penalty makes the loss strongly convex in the weights: no fit is lower by more than this.
    double gap = 0;
    for (std::size_t i = 0; i < fit.weight.size(); ++i) gap += gradient[i] * gradient[i] / (2 * lambda);
    EXPECT_LE(gap, 0.01 * loss) << lambda << ": loss " << loss;
  }
}

TEST(Probe, LbfgsEndsWhereF64TellsNoLowerLoss) {
  // Labels of which no feature tells anything, and features that have most in common: the slopes are small.
  Features train{200, 4, {}, {}};
  Random random(3, Purpose::test);
  for (int i = 0; i < 2000; ++i) {
    train.labels.push_back(static_cast<std::int32_t>(random.below(4)));
    const float common = normal(random);
    for (int j = 0; j < 200; ++j) train.values.push_back(common + normal(random));
  }
  ProbeSettings settings = default_probe(ProbeProtocol::lbfgs);
  settings.weight_decay = 0;
  double loss = 0;
  const LinearClassifier fit =
      train_probe(train, settings, cpu_backend(), [&](std::int64_t, double value) { loss = value; });
  EXPECT_LT(fit.convergence.value().iterations, settings.epochs);
  EXPECT_LT(loss, 1.24);
}

TEST(Probe, LbfgsSaysWhetherItConverged) {
  const Features train = blobs(300, 20, 4, 0.3f, 0);
  ProbeSettings settings = default_probe(ProbeProtocol::lbfgs);
  const Convergence whole = train_probe(train, settings, cpu_backend()).convergence.value();
  EXPECT_TRUE(whole.reached);
  EXPECT_GT(whole.iterations, 5);
  settings.epochs = 5;
  const Convergence cut = train_probe(train, settings, cpu_backend()).convergence.value();
  EXPECT_FALSE(cut.reached);
  EXPECT_EQ(cut.iterations, 5);
  EXPECT_FALSE(train_probe(train, quick(ProbeProtocol::adam), cpu_backend()).convergence.has_value());
}

TEST(Probe, ReportsTheLossOfFeaturesThatAreAllEqual) {
  Features same{4, 2, std::vector<float>(10 * 4, 0.5f), {0, 1, 0, 1, 0, 1, 0, 1, 0, 1}};
  double loss = 0;
  train_probe(same, default_probe(ProbeProtocol::lbfgs), cpu_backend(),
              [&](std::int64_t, double value) { loss = value; });
  EXPECT_NEAR(loss, std::log(2.0), 1e-12);
}
#endif

TEST(Probe, CountsTopOneAndTopFive) {
  // The classifier copies its seven features to the logits of seven classes.
  LinearClassifier copy{7, 7, std::vector<float>(49, 0.0f), std::vector<float>(7, 0.0f)};
  for (std::size_t i = 0; i < 7; ++i) copy.weight[i * 8] = 1;
  const std::vector<float> falling{6, 5, 4, 3, 2, 1, 0}, level(7, 1.0f);
  std::vector<float> values;
  for (int i = 0; i < 4; ++i) values.insert(values.end(), falling.begin(), falling.end());
  for (int i = 0; i < 4; ++i) values.insert(values.end(), level.begin(), level.end());
  const Features test = features_of(7, 7, values, {0, 1, 4, 5, 0, 4, 5, 6});
  const ProbeAccuracy accuracy = probe_accuracy(copy, test, cpu_backend());
  EXPECT_DOUBLE_EQ(accuracy.top1, 25);    // rows 0 and 4
  EXPECT_DOUBLE_EQ(accuracy.top5, 62.5);  // rows 0, 1, 2, 4 and 5
}

}  // namespace
}  // namespace vergence
