// What a run does beside its steps: picture files, running statistics re-estimated; and whole runs of MRCL with both.
#include "ssl/training/finishing.h"

#include <cmath>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "datasets/loading/loader.h"
#include "engine/ops/ops.h"
#include "kernels/communicators/threads.h"
#include "models/encoder_file.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/picture_file.h"
#include "tests/support/complaints.h"
#include "tests/support/small_models.h"
#include "tests/support/small_mrcl.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/vectors.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb_image.h>

namespace vergence {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Values = std::vector<double>;

TEST(PictureFile, HoldsTheColorsWhereTheyBelong) {
  const Tensor red = full(cpu_backend(), {2, 48, 48, 3}, 0);
  Values values = red.values();
  values[0] = 10, values[1] = -10;                         // cut to [0, 1]
  values[static_cast<std::size_t>(red.size()) - 1] = 0.5;  // the last pixel's blue
  const Pictures pictures =
      side_by_side({from_values(cpu_backend(), red.shape, values, DType::f32), full(cpu_backend(), red.shape, -1)});
  EXPECT_EQ(pictures.columns, 2);
  const TemporaryFolder folder;
  write_png(folder / "picture.png", picture_grid(pictures, {0.5f, 0.25f, 0.125f}, {0.5f, 0.25f, 0.125f}));
  int width = 0, height = 0, channels = 0;
  const std::string bytes = folder.bytes("picture.png");
  stbi_uc* pixels = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(bytes.data()),
                                          static_cast<int>(bytes.size()), &width, &height, &channels, 3);
  ASSERT_NE(pixels, nullptr);
  EXPECT_EQ(width, 2 * 96 + 6) << "enlarged twice, 2 pixels of ground around";
  EXPECT_EQ(height, 2 * 96 + 6);
  const auto at = [&](int x, int y) {
    const stbi_uc* p = pixels + 3 * (y * width + x);
    return std::array<int, 3>{p[0], p[1], p[2]};
  };
  EXPECT_EQ(at(0, 0), (std::array<int, 3>{255, 255, 255}));
  EXPECT_EQ(at(2, 2), (std::array<int, 3>{255, 0, 32}));
  EXPECT_EQ(at(3, 3), at(2, 2)) << "one pixel of the image";
  EXPECT_EQ(at(4, 2), (std::array<int, 3>{128, 64, 32}));
  EXPECT_EQ(at(100, 2), (std::array<int, 3>{0, 0, 0})) << "second column";
  EXPECT_EQ(at(97, 195), (std::array<int, 3>{128, 64, 48})) << "second row, last pixel";
  stbi_image_free(pixels);
}

TEST(Recalibration, IsTheMeanOfTheBatchesStatistics) {
  DatasetSettings rendered;
  rendered.image_size = 16, rendered.limit = 50;
  const Dataset dataset = open_dataset(rendered, "train");
  ExtractSettings settings{.image_size = 16, .mean = dataset.mean, .std = dataset.std, .batch = 16};
  const ResNet encoder = perturbed(small("resnet18", 2), DType::f32);
  const Statistics all =
      recalibrated_statistics(encoder, dataset, settings, {.batches = 9, .seed = 4, .epoch = 7}, cpu_backend());
  const std::vector<std::int64_t> order = epoch_order(50, 4, 7);
  std::map<std::string, std::pair<Values, Values>> expected;
  for (int batch = 0; batch < 3; ++batch) {  // 50 images are three whole batches
    const std::vector<std::int64_t> indices(order.begin() + 16 * batch, order.begin() + 16 * (batch + 1));
    Statistics one;
    encoder.feature_map(plain_images(dataset, indices, settings, cpu_backend()),
                        {.running = &one, .statistics_momentum = 1});
    for (const auto& [name, layer] : one.layers) {
      auto& [mean, variance] = expected[name];
      mean.resize(static_cast<std::size_t>(layer.mean.size()));
      variance.resize(mean.size());
      for (std::size_t c = 0; c < mean.size(); ++c) {
        mean[c] += layer.mean.values()[c] / 3;
        variance[c] += layer.variance.values()[c] / 3;
      }
    }
  }
  ASSERT_EQ(all.layers.size(), expected.size());
  for (const auto& [name, layer] : all.layers) {
    EXPECT_EQ(layer.batches, 3);
    for (std::size_t c = 0; c < expected[name].first.size(); ++c) {
      EXPECT_NEAR(layer.mean.values()[c], expected[name].first[c], 1e-5) << name;
      EXPECT_NEAR(layer.variance.values()[c], expected[name].second[c], 1e-5 * (1 + expected[name].second[c])) << name;
    }
  }
  const Statistics two =
      recalibrated_statistics(encoder, dataset, settings, {.batches = 2, .seed = 4, .epoch = 7}, cpu_backend());
  EXPECT_EQ(two.layers.at("bn1").batches, 2);
}

class MicroBatches : public ::testing::Test {
 protected:
  MicroBatches() {
    DatasetSettings rendered;
    rendered.image_size = 16, rendered.limit = 50;
    dataset_ = open_dataset(rendered, "train");
  }
  /// Of 48 images in 48 / batch batches.
  Statistics with(std::int64_t batch, std::int64_t micro_batch, const Sharing& sharing = {}) const {
    const ExtractSettings settings{.image_size = 16, .mean = dataset_.mean, .std = dataset_.std, .batch = batch};
    return recalibrated_statistics(encoder_, dataset_, settings,
                                   {.batches = 9, .micro_batch = micro_batch, .seed = 4, .epoch = 7}, cpu_backend(),
                                   sharing);
  }
  static void expect_near(const Statistics& one, const Statistics& other, double tolerance) {
    ASSERT_EQ(one.layers.size(), other.layers.size());
    for (const auto& [name, layer] : one.layers) {
      const RunningStatistics& like = other.layers.at(name);
      EXPECT_EQ(layer.batches, like.batches) << name;
      EXPECT_LE(relative_error(layer.mean.values(), like.mean.values()), tolerance) << name;
      EXPECT_LE(relative_error(layer.variance.values(), like.variance.values()), tolerance) << name;
    }
  }

  Dataset dataset_;
  const ResNet encoder_ = perturbed(small("resnet18", 2), DType::f32);
};

TEST_F(MicroBatches, AreAveragedLikeBatchesOfThatSize) {
  expect_near(with(16, 8), with(8, 0), 0);
  expect_near(with(16, 16), with(16, 0), 0);
  expect_near(with(16, 30), with(16, 0), 0);
  EXPECT_NE(with(16, 8).layers.at("bn1").variance.values(), with(16, 0).layers.at("bn1").variance.values());
  EXPECT_EQ(with(16, 6).layers.at("bn1").batches, 9) << "5, 5 and 6 images of each batch";
}

TEST_F(MicroBatches, OfSeveralRanksAreThoseOfOne) {
  for (const std::int64_t most : {4, 8, 16}) {  // two parts on each of two ranks, one, and none
    const Statistics alone = with(16, most);
    run_ranks(2, [&](Communicator& ranks) {
      expect_near(with(16, most, {.rank = ranks.rank(), .ranks = 2, .tensors = {&ranks}}), alone, 1e-5);
    });
  }
}

class MrclRun : public ::testing::Test {
 protected:
  /// Three epochs of four steps.
  Options run(const std::string& name, const Options& options) const { return small_run(options, folder_ / name); }

  TemporaryFolder folder_;
};

TEST_F(MrclRun, ResumedEqualsAnUninterruptedOneBitForBit) {
  const std::vector<std::pair<std::string, Switches>> runs{
      {"simclr", {{"mrcl.mask_fill", "token"}}},
      {"byol", {{"mrcl.mask_fill", "noise"}, {"mrcl.mask_views", "one"}, {"mrcl.rec_target", "clean"}}},
      {"barlow_twins", {{"mrcl.rec_input", "map"}, {"mrcl.rec_region", "masked"}}}};
  for (const auto& [base, more] : runs)
    expect_resumed_equals_whole(folder_, base, run(base, tiny_mrcl(base, more)), 12, {3, 4, 0},
                                {"encoder.safetensors", "encoder_as_trained.safetensors"});
}

TEST_F(MrclRun, EndsWithNewStatisticsAndReportsBoth) {
  Options options = run("run", tiny_mrcl("simclr", {{"mrcl.recalibrate", "2"}}));
  options.eval_every = 2;
  options.eval_limit = 50;
  pretrain(options);
  const std::vector<json> lines = metrics_of(folder_, "run");
  EXPECT_TRUE(lines[7].contains("knn_cosine_200"));
  EXPECT_FALSE(lines[7].contains("knn_cosine_200_recalibrated")) << "the run goes on";
  for (const char* name :
       {"knn_cosine_200", "knn_euclidean_5", "knn_cosine_200_recalibrated", "knn_euclidean_5_recalibrated"})
    EXPECT_TRUE(lines.back().contains(name)) << name;
  EXPECT_FALSE(fs::exists(folder_ / "run/pictures/epoch_0001.png"));
  EXPECT_TRUE(fs::exists(folder_ / "run/pictures/epoch_0002.png"));
  const TrainedEncoder last = load_encoder(folder_ / "run/encoder.safetensors", cpu_backend()),
                       trained = load_encoder(folder_ / "run/encoder_as_trained.safetensors", cpu_backend());
  EXPECT_EQ(last.encoder.as<ResNet>().stem.w.values(), trained.encoder.as<ResNet>().stem.w.values());
  EXPECT_NE(last.statistics.layers.at("bn1").mean.values(), trained.statistics.layers.at("bn1").mean.values());
  EXPECT_EQ(last.statistics.layers.at("bn1").batches, 2);
  EXPECT_EQ(trained.statistics.layers.at("bn1").batches, 24);

  // The values logged are those of the files, whose encoders see the same images differently.
  struct Judged {
    std::vector<float> features;  // of the test images
    KnnAccuracy knn;
  };
  const auto judge = [&](const TrainedEncoder& file) {
    Statistics statistics = file.statistics;
    DatasetSettings settings = dataset_settings(options);
    settings.limit = 50;
    const auto features = [&](const char* split) {
      const Dataset dataset = open_dataset(settings, split);
      return extract_features(encode_with(file.encoder, statistics), dataset,
                              {.image_size = 16, .mean = dataset.mean, .std = dataset.std}, cpu_backend());
    };
    const Features bank = features("probe"), test = features("test");
    return Judged{test.values, knn_accuracy(bank, test, cpu_backend())};
  };
  const Judged of_last = judge(last), of_trained = judge(trained);
  EXPECT_EQ(lines.back()["knn_cosine_200_recalibrated"], of_last.knn.cosine_200.top1);
  EXPECT_EQ(lines.back()["knn_euclidean_5_recalibrated"], of_last.knn.euclidean_5.top1);
  EXPECT_EQ(lines.back()["knn_cosine_200"], of_trained.knn.cosine_200.top1);
  EXPECT_EQ(lines.back()["knn_euclidean_5"], of_trained.knn.euclidean_5.top1);
  EXPECT_GT(relative_error({of_last.features.begin(), of_last.features.end()},
                           {of_trained.features.begin(), of_trained.features.end()}),
            0.01)
      << "the same encoder twice: this test shows nothing";

  Options kept = run("kept", tiny_mrcl("simclr", {{"mrcl.recalibrate", "0"}}));
  pretrain(kept);
  EXPECT_FALSE(fs::exists(folder_ / "kept/encoder_as_trained.safetensors"));
  const TrainedEncoder as_trained = load_encoder(folder_ / "kept/encoder.safetensors", cpu_backend());
  EXPECT_EQ(as_trained.statistics.layers.at("bn1").mean.values(), trained.statistics.layers.at("bn1").mean.values());
}

TEST_F(MrclRun, ItsNewStatisticsNeedNoMoreMemoryThanItsSteps) {
  Options options = run("run", tiny_mrcl("simclr", {{"mrcl.recalibrate", "2"}, {"micro-batch", "4"}}));
  options.max_steps = 1;
  pretrain(options);
  const TrainedEncoder last = load_encoder(folder_ / "run/encoder.safetensors", cpu_backend());
  EXPECT_EQ(last.statistics.layers.at("bn1").batches, 8) << "two batches of 16 images, four at a time";
}

TEST_F(MrclRun, OfAnEarlierVersionGoesOnAndNoOther) {
  const auto options_of = [&](const char* ratio, std::int64_t steps) {
    Options options = run("run", tiny_mrcl("simclr", {{"mrcl.mask_ratio", ratio}, {"mrcl.recalibrate", "0"}}));
    options.max_steps = steps;
    return options;
  };
  Options options = options_of("0.007", 4);
  options.resume = true;
  expect_contains(message_of([&] { pretrain(options); }), {"--mrcl.mask_ratio: 0.007 of an image's 64 patches rounds"});
  EXPECT_FALSE(fs::exists(options.out));
  pretrain(options_of("0", 2));
  {  // which an earlier version would have trained alike
    const std::string path = folder_ / "run/checkpoint.safetensors";
    const SafetensorsFile file(path);
    Metadata metadata = file.metadata();
    metadata.erase("xxh128");
    metadata["format"] = "vergence-checkpoint-1";
    metadata["config"] = options_to_toml(options);
    write_safetensors(path, file.tensors(), metadata);
  }
  EXPECT_NE(describe_plan(options).find("time              about "), std::string::npos);
  EXPECT_EQ(pretrain(options).started_at, 2);
}

TEST_F(MrclRun, InHalfPrecisionItTrains) {
  for (const char* fill : {"mean", "noise", "token"}) {
    Options options = run(fill, tiny_mrcl("simclr", {{"mrcl.mask_fill", fill}}));
    options.precision = Precision::bf16;
    options.epochs = 1;
    EXPECT_TRUE(std::isfinite(pretrain(options).loss)) << fill;
  }
}

}  // namespace
}  // namespace vergence
