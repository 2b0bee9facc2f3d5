// Online figures: when they come, what they cost, that they leave the weights alone, and how a collapse is told.
#include "ssl/steps/figures.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "datasets/dataset.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/training/validation.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

/// A run of so many epochs over 50,000 images, with ResNet-18's FLOPs at 32 pixels and a step of two views.
FigureNeeds needs(std::int64_t epochs, std::int64_t images = 50'000) {
  constexpr double forward = 1.1e9;
  return {.run_flops = static_cast<double>(epochs * images) * 6 * forward,
          .image_flops = forward,
          .dim = 512,
          .images = images};
}

FigurePlan plan_of(std::int64_t epochs, std::int64_t images = 50'000) {
  Options options;
  options.epochs = epochs;
  return plan_figures(options, needs(epochs, images));
}

std::vector<std::int64_t> epochs_of(const SpacedEpochs& spaced) {
  std::vector<std::int64_t> list;
  for (std::int64_t epoch = 0; epoch <= spaced.epochs + 1; ++epoch) {
    if (spaced.contains(epoch)) list.push_back(epoch);
    EXPECT_EQ(spaced.until(epoch), static_cast<std::int64_t>(list.size())) << epoch;
  }
  return list;
}

TEST(SpacedEpochsTest, HaveTheFirstTheLastAndEvenOnesBetween) {
  using List = std::vector<std::int64_t>;
  EXPECT_EQ(epochs_of({1, 1}), List{1});
  EXPECT_EQ(epochs_of({2, 2}), (List{1, 2}));
  EXPECT_EQ(epochs_of({10, 2}), (List{1, 10}));
  EXPECT_EQ(epochs_of({9, 3}), (List{1, 5, 9}));
  EXPECT_EQ(epochs_of({10, 4}), (List{1, 4, 7, 10}));
  EXPECT_EQ(epochs_of({10, 10}), (List{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}));
  EXPECT_EQ(epochs_of({10, 0}), List{});
  for (std::int64_t epochs = 2; epochs < 40; ++epochs)
    for (std::int64_t times = 2; times <= epochs; ++times)
      EXPECT_EQ(epochs_of({epochs, times}).size(), static_cast<std::size_t>(times)) << epochs << " " << times;
}

TEST(FigurePlanTest, StaysWithinTwoPercentAndTakesWhatThatAllows) {
  for (std::int64_t epochs : {20, 100, 1000}) {
    const FigurePlan plan = plan_of(epochs);
    EXPECT_LE(plan.work_until(epochs), 0.02 * needs(epochs).run_flops) << epochs;
    EXPECT_GT(plan.collapse.times, epochs / 2) << epochs;
    EXPECT_GT(plan.knn.times, 2) << epochs;
  }
  EXPECT_EQ(plan_of(1000).collapse.times, 1000) << "once an epoch";
  EXPECT_EQ(plan_of(1000).knn.times, 10) << "and no more often";
}

TEST(FigurePlanTest, AShortRunHasThemAtItsFirstAndLastEpoch) {
  const FigurePlan plan = plan_of(3, 300);
  EXPECT_EQ(epochs_of(plan.collapse), (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(epochs_of(plan.knn), (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(plan.images, 300);
  EXPECT_EQ(plan.bank, 300) << "no more images than the run trains on";
  EXPECT_EQ(plan.queries, 60);
}

TEST(FigurePlanTest, OptionsDecideAboutKnnOrTurnAllOff) {
  Options options;
  options.epochs = 10;
  options.eval_every = 4;
  FigurePlan plan = plan_figures(options, needs(10));
  EXPECT_EQ(plan.bank, 0) << "all images";
  for (std::int64_t epoch = 1; epoch <= 10; ++epoch) EXPECT_EQ(plan.has_knn(epoch), epoch % 4 == 0) << epoch;
  EXPECT_GT(plan.collapse.times, 0);
  options.figures = false;
  plan = plan_figures(options, needs(10));
  EXPECT_EQ(plan.collapse.times, 0);
  EXPECT_TRUE(plan.has_knn(8));
  EXPECT_EQ(plan.text(1), "");
  options.eval_every = 0;
  options.eval_limit = 70;
  EXPECT_EQ(plan_figures(options, needs(10)).work_until(10), 0);
  options.figures = true;
  EXPECT_EQ(plan_figures(options, needs(10)).queries, 70);
}

TEST(FigurePlanTest, TheHostsShareCountsMoreBesideAGpu) {
  Options options;
  options.epochs = 100;
  FigureNeeds on_gpu = needs(100);
  on_gpu.beside_device = true;
  EXPECT_LT(plan_figures(options, on_gpu).collapse.times, plan_figures(options, needs(100)).collapse.times);
}

TEST(CollapseTest, IsToldByBothBounds) {
  EXPECT_EQ(collapse_warning({.rank_me = 14.9, .std = 0.072}, 1), "") << "an untrained ResNet-18";
  EXPECT_EQ(collapse_warning({.rank_me = 1.3, .std = 0.4}, 1), "");
  EXPECT_EQ(collapse_warning({.rank_me = 30, .std = 0.001}, 3)
                .rfind("warning: the features have collapsed after epoch 3: their deviation is 0.001, below 0.02: ", 0),
            0u);
  EXPECT_NE(collapse_warning({.rank_me = 1.01, .std = 0.3}, 3).find("RankMe is 1.01, below 1.2"), std::string::npos);
}

class OnlineFiguresTest : public ::testing::Test {
 protected:
  Options tiny(const std::string& run) const {
    Options options = small_run(small_options("simclr", 4, 32), folder_ / run);
    options.figures = true;
    return options;
  }

  TemporaryFolder folder_;
};

TEST_F(OnlineFiguresTest, LeaveTheWeightsAlone) {
  Options options = tiny("with");
  pretrain(options);
  options.out = folder_ / "without";
  options.figures = false;
  pretrain(options);
  EXPECT_EQ(folder_.bytes("with/encoder.safetensors"), folder_.bytes("without/encoder.safetensors"));
  std::vector<nlohmann::json> with = metrics_of(folder_, "with"), without = metrics_of(folder_, "without");
  ASSERT_EQ(with.size(), without.size());
  for (std::size_t i = 0; i < with.size(); ++i) {
    const bool judged = i == 3 || i == 11;  // the first and the last epoch's end
    for (const char* figure : {"std", "rankme", "knn_cosine_200", "knn_euclidean_5"})
      EXPECT_EQ(with[i].erase(figure), judged ? 1u : 0u) << figure << " in line " << i;
    EXPECT_GT(with[i]["gradient_norm"], 0);
  }
  EXPECT_EQ(with, without);
}

TEST_F(OnlineFiguresTest, AreWhatEvaluationComputesOfTheSameImages) {
  Options options = tiny("run");
  pretrain(options);
  const nlohmann::json last = metrics_of(folder_, "run").back();
  const Dataset images = open_dataset(dataset_settings(options), "train");  // fewer than 2,000: all of them
  TrainedEncoder trained = load_encoder(folder_ / "run/encoder.safetensors", cpu_backend());
  const ExtractSettings settings{.image_size = 16, .mean = images.mean, .std = images.std};
  const Encode encode = encode_with(trained.encoder, trained.statistics);
  const Collapse expected = collapse_of(extract_features(encode, images, settings, cpu_backend()));
  EXPECT_NEAR(last["std"].get<double>(), expected.std, 1e-5);
  EXPECT_NEAR(last["rankme"].get<double>(), expected.rank_me, 1e-4 * expected.rank_me);
}

TEST_F(OnlineFiguresTest, AResumedRunHasTheSame) {
  expect_resumed_equals_whole(folder_, "run", tiny("run"), 12, {3, 4, 0});
}

TEST_F(OnlineFiguresTest, SayOnceThatTheFeaturesHaveCollapsed) {
  Options options = tiny("run");
  options.weight_decay = 2;  // shrinks the scales of batch norm to nothing
  options.lr = 8;
  options.epochs = 6;
  options.schedule = ScheduleKind::constant;
  options.momentum = 0;
  pretrain(options);
  const std::string log = folder_.bytes("run/train.log"), warning = "warning: the features have collapsed";
  const std::size_t first = log.find(warning);
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_EQ(log.find(warning, first + 1), std::string::npos) << log;
  EXPECT_NE(log.find("A lower --lr"), std::string::npos) << log;
}

}  // namespace
}  // namespace vergence
