// Corrupted test images: what is done to the pixels, and what classifiers fitted on clean ones make of it; and
// `evaluate` with the metrics corruptions and episodes. tests/oracle/evaluation.py computes the same bytes in NumPy.
#include "ssl/evaluation/robustness/corruptions.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/probes/probe.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

/// `count` images of one color.
Dataset plain_colored(std::int64_t count, std::int64_t size, const std::vector<std::uint8_t>& color) {
  Dataset data;
  data.name = "plain", data.split = "test";
  data.count = count, data.height = data.width = size;
  data.channels = static_cast<std::int64_t>(color.size());
  data.classes = 2;
  data.labels.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count * size * size; ++i)
    data.pixels.insert(data.pixels.end(), color.begin(), color.end());
  return data;
}

TEST(Corruptions, NoiseIsNormalAndOfEachImageItsOwn) {
  const Dataset gray = plain_colored(40, 16, {128, 128, 128});
  const Dataset noisy = with_corruption(gray, Corruption::noise, 1);
  const auto values = static_cast<double>(noisy.pixels.size());
  double mean = 0, variance = 0, beyond = 0;
  for (const std::uint8_t byte : noisy.pixels) mean += byte / values;
  for (const std::uint8_t byte : noisy.pixels) {
    variance += (byte - mean) * (byte - mean) / values;
    beyond += std::abs(byte - mean) > 2 * 25.5 ? 100 / values : 0;
  }
  EXPECT_NEAR(mean, 128, 5 * 25.5 / std::sqrt(values));
  EXPECT_NEAR(std::sqrt(variance), 25.5, 5 * 25.5 / std::sqrt(2 * values));
  EXPECT_NEAR(beyond, 4.55, 0.6) << "percent beyond two deviations";
  EXPECT_EQ(noisy.labels, gray.labels);

  EXPECT_EQ(noisy.pixels, with_corruption(gray, Corruption::noise, 1).pixels);
  EXPECT_NE(noisy.pixels, with_corruption(gray, Corruption::noise, 2).pixels);
  Dataset other = gray;
  other.split = "val";
  EXPECT_NE(noisy.pixels, with_corruption(other, Corruption::noise, 1).pixels);
  EXPECT_FALSE(std::equal(noisy.image(0), noisy.image(0) + noisy.image_bytes(), noisy.image(1)));
  // An image's noise depends on its place alone, not on how many there are.
  const Dataset few = with_corruption(plain_colored(3, 16, {128, 128, 128}), Corruption::noise, 1);
  EXPECT_TRUE(std::equal(few.pixels.begin(), few.pixels.end(), noisy.pixels.begin()));
  // Black and white are cut off, half of the values stay.
  const Dataset black = with_corruption(plain_colored(40, 16, {0, 0, 0}), Corruption::noise, 1);
  EXPECT_NEAR(static_cast<double>(std::count(black.pixels.begin(), black.pixels.end(), 0)) / values, 0.5078, 0.015);
}

TEST(Corruptions, HueTurnsByAQuarter) {
  const std::vector<std::pair<std::vector<std::uint8_t>, std::vector<int>>> colors{
      {{255, 0, 0}, {128, 255, 0}}, {{0, 255, 0}, {0, 128, 255}}, {{90, 90, 90}, {90, 90, 90}}};
  for (const auto& [before, after] : colors) {
    const Dataset turned = with_corruption(plain_colored(2, 4, before), Corruption::hue, 1);
    for (std::size_t i = 0; i < turned.pixels.size(); ++i) ASSERT_NEAR(turned.pixels[i], after[i % 3], 1) << i;
  }
}

TEST(Corruptions, BlurIsAGaussianOfAPixelInThirtyTwo) {
  for (const std::int64_t size : {std::int64_t{32}, std::int64_t{64}}) {
    const double sigma = static_cast<double>(size) / 32;
    Dataset line = plain_colored(1, size, {10, 10, 10});  // a white column in the middle
    for (std::int64_t y = 0; y < size; ++y)
      std::fill_n(line.pixels.begin() + (y * size + size / 2) * 3, 3, std::uint8_t{250});
    const Dataset blurred = with_corruption(line, Corruption::blur, 1);
    double total = 0;
    const auto radius = static_cast<int>(std::ceil(3 * sigma));
    for (int k = -radius; k <= radius; ++k) total += std::exp(-k * k / (2 * sigma * sigma));
    for (int k = -radius - 1; k <= radius + 1; ++k) {
      const double weight = std::abs(k) > radius ? 0 : std::exp(-k * k / (2 * sigma * sigma)) / total;
      EXPECT_NEAR(blurred.image(0)[(5 * size + size / 2 + k) * 3], 10 + 240 * weight, 0.51) << size << " " << k;
    }
  }
  const Dataset flat = plain_colored(1, 9, {7, 200});  // two channels
  EXPECT_EQ(with_corruption(flat, Corruption::blur, 1).pixels, flat.pixels);
}

TEST(Corruptions, NeedSquaresAndHueNeedsColor) {
  const Dataset two = plain_colored(1, 4, {1, 2});
  EXPECT_FALSE(has_meaning(Corruption::hue, two));
  EXPECT_TRUE(has_meaning(Corruption::noise, two));
  EXPECT_EQ(message_of([&] { with_corruption(two, Corruption::hue, 1); }),
            "plain: the corruption hue needs images of 3 channels, got 2");
  Dataset oblong = plain_colored(1, 4, {1, 2, 3});
  oblong.width = 3;
  EXPECT_THROW(with_corruption(oblong, Corruption::blur, 1), UsageError);
}

// ---- evaluate

class Judged : public testing::Test {
 protected:
  static constexpr std::int64_t dim = 16;

  void SetUp() override {
    ResNetSettings settings;
    settings.width = 2;
    settings.image_size = 16;
    save_encoder(folder_ / "encoder.safetensors", make_resnet(settings, {cpu_backend(), 3}), {},
                 {{"mean", "0.5,0.5,0.5"}, {"std", "0.2,0.2,0.2"}, {"dataset", "confounded_shapes"}});
    options_.encoder_file = folder_ / "encoder.safetensors";
    options_.judged.set("device", "cpu");
    options_.limit = 240;
  }

  nlohmann::ordered_json run(const std::string& metrics) {
    Subject subject = open_subject(options_);
    EvaluationSettings settings;
    settings.metrics = chosen_metrics(metrics, subject.data.name);
    settings.unasked = metrics == "all";
    settings.train_limit = train_limit_;
    settings.episodes = episodes_;
    settings.seed = 5;
    lines_.clear();
    nlohmann::ordered_json json = evaluate(subject, settings, [&](const std::string& line) { lines_.push_back(line); });
    json.erase("seconds");
    json.erase("seconds_of");
    return json;
  }
  Features features(const std::string& split, std::optional<Corruption> corruption = {}) {
    Subject subject = open_subject(options_);
    Dataset images = open_dataset(subject.data, split);
    if (corruption) images = with_corruption(images, *corruption, 5);
    return extract_features(subject.encode(), images, subject.extract, cpu_backend());
  }

  TemporaryFolder folder_;
  SubjectOptions options_;
  EpisodeSettings episodes_;
  std::int64_t train_limit_ = 0;
  std::vector<std::string> lines_;
};

double knn_200(const Features& bank, const Features& query) {
  return knn_accuracy(bank, query, cpu_backend()).cosine_200.top1;
}

TEST_F(Judged, ClassifiersAreFittedOnCleanImages) {
  train_limit_ = 150;
  const nlohmann::ordered_json json = run("knn,corruptions"), &found = json["corruptions"];
  EXPECT_EQ(found["probe"], name_of(quick_probe().protocol));
  EXPECT_EQ(found["train_images"], 150);
  EXPECT_FALSE(found.contains("masked"));
  EXPECT_EQ(found["knn_cosine_200"]["clean"], json["knn"]["knn_cosine_200"]["top1"]);

  const Features bank = features("probe"), clean = features("test");
  Features some = bank;
  some.labels.resize(150);
  some.values.resize(150 * dim);
  ProbeSettings settings = quick_probe();
  settings.seed = 5;
  const LinearClassifier probe = train_probe(some, settings, cpu_backend());
  const auto top1 = [&](const Features& test) { return probe_accuracy(probe, test, cpu_backend()).top1; };
  double probe_drop = 0, knn_drop = 0;
  for (Corruption each : corruptions) {
    const Features test = features("test", each);
    EXPECT_NE(test.values, clean.values);
    EXPECT_EQ(found["linear_probe"][name_of(each)], two_decimals(top1(test)));
    EXPECT_EQ(found["knn_cosine_200"][name_of(each)], two_decimals(knn_200(bank, test)));
    probe_drop += (top1(clean) - top1(test)) / 3;
    knn_drop += (knn_200(bank, clean) - knn_200(bank, test)) / 3;
  }
  EXPECT_EQ(found["linear_probe"]["clean"], two_decimals(top1(clean)));
  EXPECT_NEAR(found["linear_probe"]["mean_drop"].get<double>(), probe_drop, 0.0051);
  EXPECT_NEAR(found["knn_cosine_200"]["mean_drop"].get<double>(), knn_drop, 0.0051);
  EXPECT_EQ(json, run("knn,corruptions"));
  EXPECT_EQ(lines_.back().rfind("corruptions_knn_cosine_200 clean ", 0), 0u) << lines_.back();
}

TEST_F(Judged, AMaskCountsForKnnToo) {
  std::vector<float> mask(dim, 0.0f);
  mask[3] = 2, mask[7] = -1;
  write_feature_mask(folder_ / "mask.safetensors", {mask, ""});
  const nlohmann::ordered_json found = run("corruptions")["corruptions"];
  const Features bank = masked(features("probe"), mask);
  EXPECT_EQ(found["masked"]["mask_file"], folder_ / "mask.safetensors");
  EXPECT_EQ(found["masked"]["knn_cosine_200"]["clean"], two_decimals(knn_200(bank, masked(features("test"), mask))));
  for (Corruption each : corruptions)
    EXPECT_EQ(found["masked"]["knn_cosine_200"][name_of(each)],
              two_decimals(knn_200(bank, masked(features("test", each), mask))));
  EXPECT_NE(found["masked"]["knn_cosine_200"], found["knn_cosine_200"]) << "or this test shows nothing";
}

TEST_F(Judged, ImagesOfAnotherSizeAreCorruptedAsTheEncoderSeesThem) {
  // 32 x 32 pixels in squares of 2 x 2 are just as well 16 x 16 ones: the noise must be that of the latter.
  Dataset small = plain_colored(6, 16, {90, 120, 60}), large = plain_colored(6, 32, {90, 120, 60});
  ExtractSettings extract;
  extract.image_size = 16;
  extract.std = every_channel(1);
  std::vector<float> seen;
  const Encode look = [&](const Tensor& images) {
    const std::vector<float> pixels = images.floats();
    seen.insert(seen.end(), pixels.begin(), pixels.end());
    return zeros(cpu_backend(), {images.shape[0], 1});
  };
  std::vector<std::vector<float>> all;
  for (const Dataset* each : {&small, &large}) {
    seen.clear();
    corrupted_features(look, *each, extract, 5, cpu_backend());
    all.push_back(seen);
  }
  EXPECT_EQ(all[0].size(), 4u * 6 * 16 * 16 * 3);
  EXPECT_EQ(all[0], all[1]);
}

TEST_F(Judged, EpisodesAreThoseOfTheJudgedFeatures) {
  episodes_ = {.ways = 3, .shots = {1, 2}, .queries = 4, .episodes = 50};
  const nlohmann::ordered_json json = run("episodes")["episodes"];
  EXPECT_EQ(json["classes"], "all classes");
  EXPECT_EQ(json["drawn_from"], 10);
  EXPECT_EQ(json["ways"], 3);
  EXPECT_EQ(json["queries"], 4);
  EXPECT_EQ(json["episodes"], 50);
  episodes_.seed = 5;
  Subject subject = open_subject(options_);
  const auto expected =
      episode_accuracy(features("test"), classes_of_episodes(open_dataset(subject.data, "test"), 0), episodes_);
  for (std::size_t i = 0; i < 2; ++i) {
    const nlohmann::ordered_json& shots = json["shots"][i == 0 ? "1" : "2"];
    EXPECT_EQ(shots["accuracy"], two_decimals(expected[i].mean));
    EXPECT_EQ(shots["interval_95"], two_decimals(expected[i].interval));
  }
  EXPECT_EQ(lines_[0].rfind("episodes_3_way_1_shot ", 0), 0u) << lines_[0];
  EXPECT_NE(lines_[1].find("50 episodes, all classes"), std::string::npos) << lines_[1];
  expect_contains(message_of([&] { run("knn"); }), {"--ways", "only episodes uses them"});
}

TEST_F(Judged, EpisodesWithoutEnoughImagesAreRefusedOrLeftOut) {
  options_.limit = 60;
  episodes_.queries = 60;
  expect_contains(message_of([&] { run("episodes"); }), {"confounded_shapes test", "class 0", "--queries 60"});
  EXPECT_TRUE(lines_.empty()) << "said before the work";
  const nlohmann::ordered_json json = run("all");  // goes on without them
  EXPECT_TRUE(json["episodes"].is_null());
  EXPECT_FALSE(json["corruptions"].is_null());
  EXPECT_EQ(std::count_if(lines_.begin(), lines_.end(),
                          [](const std::string& line) { return line.rfind("episodes not measured: ", 0) == 0; }),
            1);
}

}  // namespace
}  // namespace vergence
