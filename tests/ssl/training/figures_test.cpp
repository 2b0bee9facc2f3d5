// Online figures: when they come, what they cost, that they leave the weights alone, how a collapse is told, and how
// ranks share them.
#include "ssl/steps/figures.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "datasets/dataset.h"
#include "kernels/communicators/threads.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/subject.h"
#include "ssl/training/validation.h"
#include "tests/support/complaints.h"
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
    for (const char* figure : {"std", "rankme", "knn_cosine_200", "knn_euclidean_5", "knn_images"})
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

TEST_F(OnlineFiguresTest, KnnIsOfFullImagesWhateverTheRunSees) {
  Options options = tiny("run");
  options.eval_every = options.epochs;
  options.eval_limit = 300;
  set_option(options, "confounded_shapes.version", "foreground_only");
  pretrain(options);
  const nlohmann::json last = metrics_of(folder_, "run").back();
  // as evaluate would
  SubjectOptions judged;
  judged.run = folder_ / "run";
  judged.judged.values.device = "cpu";
  judged.limit = options.eval_limit;
  Subject subject = open_subject(judged);
  const auto features = [&](const char* split) {
    return extract_features(subject.encode(), open_dataset(subject.data, split), subject.extract, cpu_backend());
  };
  const KnnAccuracy expected = knn_accuracy(features("probe"), features("test"), cpu_backend());
  EXPECT_DOUBLE_EQ(last["knn_cosine_200"].get<double>(), expected.cosine_200.top1);
  EXPECT_DOUBLE_EQ(last["knn_euclidean_5"].get<double>(), expected.euclidean_5.top1);
  EXPECT_EQ(last["knn_images"], "300");

  RunData data(options);
  DatasetSettings settings = dataset_settings(options);
  settings.limit = 8;
  EXPECT_EQ(data.pictured(8).pixels, open_dataset(settings, "probe").pixels) << "pictures are of what the run sees";
  settings.components = {};
  for (const char* split : {"probe", "test"})
    EXPECT_EQ(data.judged(split, 8).pixels, open_dataset(settings, split).pixels) << split;
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

TEST_F(OnlineFiguresTest, EndARunWhoseFeaturesAreNotFinite) {
  Options options = tiny("run");
  options.limit = options.batch;  // an epoch is a step, whose loss is still that of the initial weights
  options.lr = 1e38;
  options.warmup_epochs = 0;
  EXPECT_EQ(message_of<Error>([&] { pretrain(options); }),
            "after epoch 1: the encoder's features are not finite; a lower --lr may help");
}

// ---- several ranks

TEST(RanksOfARun, GatherNumbersAndTexts) {
  for (const int count : {1, 3})
    run_ranks(count, [&](Communicator& ranks) {
      World world(ranks);
      EXPECT_EQ(world.leads(), ranks.rank() == 0);
      std::vector<int> numbers;
      std::vector<std::string> texts;
      for (int rank = 0; rank < count; ++rank) {
        numbers.push_back(10 - rank);
        texts.push_back(std::string(static_cast<std::size_t>(rank), '\0') + (rank == 1 ? "a\n" : ""));
      }
      const auto own = static_cast<std::size_t>(ranks.rank());
      EXPECT_EQ(world.gather(numbers[own]), numbers);
      EXPECT_EQ(world.gather(texts[own]), texts);
      EXPECT_EQ(world.gather(std::string()), std::vector<std::string>(static_cast<std::size_t>(count)));
    });
}

TEST(RanksOfARun, AllThrowTheErrorOfTheFirstThatFails) {
  std::vector<std::string> told;
  run_ranks(4, [&](Communicator& ranks) {
    World world(ranks);
    world.together([] {});
    try {
      world.together([&] {
        require(ranks.rank() != 2, "the second");
        require_usage(ranks.rank() != 1, "the first");
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const SharedUsageError& error) {
      told.emplace_back(error.what());
    }
    EXPECT_THROW(world.together([&] { require(ranks.rank() != 3, "the last"); }), SharedError);
  });
  EXPECT_EQ(told, std::vector<std::string>(4, "rank 1 of 4: the first"));
}

TEST(RanksOfARun, GatherTextsOfAnyLength) {
  static constexpr std::size_t large = (std::size_t{1} << 26) + 5;
  run_ranks(3, [](Communicator& ranks) {
    World world(ranks);
    std::string own(ranks.rank() == 1 ? large : static_cast<std::size_t>(ranks.rank()), 'x');
    if (ranks.rank() == 1) own.replace(large - 7, 7, "the end");
    const std::vector<std::string> all = world.gather(own);
    EXPECT_EQ(all[0], "");
    EXPECT_EQ(all[1].size(), large);
    EXPECT_TRUE(all[1].ends_with("xthe end"));
    EXPECT_EQ(all[2], "xx");
  });
}

TEST(RanksOfARun, ShareTheProcessorsOfTheirHost) {
  const std::vector<int> some{4, 5, 6, 7, 8};
  const auto share = [](const std::vector<int>& own, const std::vector<std::vector<int>>& all) {
    const ProcessorShare found = processor_share(own, all);
    return std::pair(found.processors, found.bound);
  };
  EXPECT_EQ(share(some, {some}), std::pair(5, false));
  EXPECT_EQ(share(some, {some, some}), std::pair(2, false)) << "a container's, equally";
  EXPECT_EQ(share(some, std::vector(9, some)), std::pair(1, false));
  EXPECT_EQ(share({3}, {{3}, {4}}), std::pair(1, true)) << "bound by the launcher";
  EXPECT_EQ(share({3, 4}, {{3, 4}, {5, 6}}), std::pair(2, true));
  EXPECT_EQ(share({3, 4}, {{3, 4}, some}), std::pair(2, true));
}

TEST(RanksOfARun, ShareImagesInWholeBatches) {
  for (const std::int64_t images : {0, 1, 250, 1001})
    for (const int ranks : {1, 3, 8}) {
      std::vector<std::int64_t> all;
      for (int rank = 0; rank < ranks; ++rank) {
        const std::vector<std::int64_t> own = own_images(images, 250, {.rank = rank, .ranks = ranks});
        EXPECT_TRUE(own.empty() || own[0] % 250 == 0);
        all.insert(all.end(), own.begin(), own.end());
      }
      ASSERT_EQ(all.size(), static_cast<std::size_t>(images));
      for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<std::int64_t>(i));
    }
}

TEST(RanksOfARun, GatherFeaturesAndAccuracies) {
  run_ranks(3, [](Communicator& ranks) {
    World world(ranks);
    Features own;  // of 0, 1 and 2 images
    if (ranks.rank() > 0) own = {.dim = 2, .classes = 7, .values = {1, 2}, .labels = {5}};
    if (ranks.rank() == 2) own.values = {3, 4, 5, 6}, own.labels = {0, 6};
    const Features all = gathered(world, own);
    EXPECT_EQ(all.dim, 2);
    EXPECT_EQ(all.classes, 7);
    EXPECT_EQ(all.values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(all.labels, (std::vector<std::int32_t>{5, 0, 6}));
    KnnAccuracy accuracy;
    accuracy.cosine_200.top1 = ranks.rank() == 1 ? 100 : 50;
    const KnnAccuracy whole = gathered(world, accuracy, own.rows());
    EXPECT_DOUBLE_EQ(whole.cosine_200.top1, 200.0 / 3);
    EXPECT_DOUBLE_EQ(whole.euclidean_5.top1, 0);
  });
}

}  // namespace
}  // namespace vergence
