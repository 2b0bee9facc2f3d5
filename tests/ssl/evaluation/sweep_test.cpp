// Sweeps: what is tried, what is chosen, and that the judged images play no part.
#include "ssl/evaluation/probes/sweep.h"

#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/random.h"
#include "ssl/evaluation/finetune/finetune.h"
#include "ssl/evaluation/sampling/subset.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

Sweep swept(const std::vector<double>& figures) {
  std::vector<Trial> trials;
  for (std::size_t i = 0; i < figures.size(); ++i) trials.push_back({{"lr", static_cast<double>(i + 1)}});
  return try_all(trials, 50, [&](const Trial& trial) {
    const double figure = figures[static_cast<std::size_t>(trial[0].second) - 1];
    if (std::isnan(figure)) throw NotFinite("diverged");
    return figure;
  });
}

TEST(Sweep, TakesTheBestAndOfEqualOnesTheSmaller) {
  EXPECT_EQ(swept({10, 30, 20}).best, 1u);
  EXPECT_EQ(swept({10, 30, 30}).best, 1u);
  EXPECT_EQ(swept({0, 0}).best, 0u);
}

TEST(Sweep, PassesOverWhatDiverges) {
  const Sweep sweep = swept({NAN, 12.345, NAN});
  EXPECT_EQ(sweep.best, 1u);
  const auto json = sweep.json();
  EXPECT_EQ(json["chosen"]["lr"], 2);
  EXPECT_EQ(json["held_out_images"], 50);
  EXPECT_TRUE(json["trials"][0]["held_out_top1"].is_null());
  EXPECT_EQ(json["trials"][1]["held_out_top1"], 12.35);
  EXPECT_EQ(json["trials"].size(), 3u);
  EXPECT_THROW(swept({NAN, NAN}), Error);
}

TEST(Sweep, TriesAreAscending) {
  for (const ProbeProtocol protocol : {ProbeProtocol::lbfgs, ProbeProtocol::adam, ProbeProtocol::sgd}) {
    const std::vector<Trial> trials = probe_trials(default_probe(protocol));
    ASSERT_GE(trials.size(), 5u);
    for (std::size_t i = 1; i < trials.size(); ++i) EXPECT_LT(trials[i - 1][0].second, trials[i][0].second);
    const ProbeSettings best = with_trial(default_probe(protocol), trials.back());
    EXPECT_EQ(protocol == ProbeProtocol::lbfgs ? best.weight_decay : best.lr, trials.back()[0].second);
  }
  const std::vector<Trial> scaled_later = probe_trials(default_probe(ProbeProtocol::sgd, 64));
  EXPECT_EQ(scaled_later.back()[0].second, 1) << "as --lr takes it, whatever the batch";
  for (const Trial& trial : finetune_trials(0.25)) EXPECT_EQ(with_rates({}, trial).head_lr, 0.25);
}

TEST(Sweep, AProbeIsChosenByTheHeldOutTenth) {
  // Labels that no feature tells: who has seen the held-out ones does better. Each trial's figure equals a probe
  // trained on the kept rows and judged on the held-out ones.
  Features features{40, 2, {}, {}};
  Random random(3, Purpose::test);
  for (int i = 0; i < 200; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(random.below(2)));
    for (int j = 0; j < 40; ++j) features.values.push_back(random.uniform(-1, 1));
  }
  const FeatureSource views = [&](std::int64_t epoch) {
    Features seen = features;
    for (float& value : seen.values) value *= 1 + 0.1f * static_cast<float>(epoch);
    return seen;
  };
  const HeldOutTenth split = hold_out_tenth(features.labels);
  const Features kept = rows_at(features, split.kept), held_out = rows_at(features, split.held_out);
  const FeatureSource kept_views = [&](std::int64_t epoch) { return rows_at(views(epoch), split.kept); };
  for (const ProbeProtocol protocol : {ProbeProtocol::adam, ProbeProtocol::sgd}) {
    SCOPED_TRACE(name_of(protocol));
    const bool on_views = protocol == ProbeProtocol::sgd;
    ProbeSettings settings = default_probe(protocol, 20);
    settings.epochs = 20;
    const Sweep sweep = sweep_probe(features, on_views ? views : FeatureSource{}, settings, cpu_backend(), {});
    EXPECT_EQ(sweep.images, 20);
    for (std::size_t i = 0; i < sweep.trials.size(); ++i) {
      const ProbeSettings own = with_trial(settings, sweep.trials[i]);
      const LinearClassifier classifier =
          on_views ? train_probe(kept_views, own, cpu_backend()) : train_probe(kept, own, cpu_backend());
      EXPECT_EQ(sweep.held_out[i], probe_accuracy(classifier, held_out, cpu_backend()).top1);
      EXPECT_LE(sweep.held_out[i], sweep.held_out[sweep.best]);
    }
  }
  // Of a damaged image, some views may be unreadable: rows would be those of other images.
  const FeatureSource fewer = [&](std::int64_t epoch) { return rows_at(views(epoch), split.kept); };
  const ProbeSettings settings = default_probe(ProbeProtocol::sgd, 20);
  expect_contains(message_of([&] { sweep_probe(features, fewer, settings, cpu_backend(), {}); }),
                  {"the views of epoch 1 are of 180 images, expected the 200"});
}

}  // namespace
}  // namespace vergence
