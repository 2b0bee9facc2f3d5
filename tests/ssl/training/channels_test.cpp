// Images that are not in color: views of one channel and of many, and whole runs on them.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "kernels/views.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/robustness/nuisance.h"
#include "ssl/evaluation/subject.h"
#include "tests/support/complaints.h"
#include "tests/support/npy_files.h"
#include "tests/support/small_mrcl.h"
#include "tests/support/small_runs.h"

namespace vergence {
namespace {

// ---- views

/// height x width x channels bytes: gradients and steps of another sort in every channel.
std::vector<std::uint8_t> image_of(std::int64_t height, std::int64_t width, std::int64_t channels) {
  std::vector<std::uint8_t> image;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (std::int64_t c = 0; c < channels; ++c)
        image.push_back(static_cast<std::uint8_t>(5 * y + (3 + c) * x + 40 * c + (x * y * (c + 1) % 7) * 12));
  return image;
}

/// One channel of it.
std::vector<std::uint8_t> channel_of(const std::vector<std::uint8_t>& image, std::int64_t channels, std::int64_t c) {
  std::vector<std::uint8_t> plane;
  for (std::size_t i = static_cast<std::size_t>(c); i < image.size(); i += static_cast<std::size_t>(channels))
    plane.push_back(image[i]);
  return plane;
}

/// All that has a meaning for any number of channels.
ViewSettings any_view(std::int64_t size, std::int64_t channels) {
  ViewSettings settings;
  settings.size = size;
  settings.channels = channels;
  settings.contrast = settings.saturation = settings.hue = settings.gray_p = 0;
  settings.jitter_p = settings.blur_p = settings.solarize_p = settings.flip_p = 0.7f;
  for (std::int64_t c = 0; c < channels; ++c) {
    settings.mean[static_cast<std::size_t>(c)] = 0.1f * static_cast<float>(c);
    settings.std[static_cast<std::size_t>(c)] = 0.2f + 0.1f * static_cast<float>(c);
  }
  return settings;
}

TEST(Channels, EachOfAViewIsTheViewOfItAlone) {
  for (const std::int64_t channels : {2, 5, 16}) {
    const std::vector<std::uint8_t> image = image_of(20, 26, channels);
    for (std::uint32_t key = 0; key < 12; ++key) {
      ViewSettings all = any_view(13, channels), one = any_view(13, 1);
      if (key == 10) all = ViewSettings::plain(13, 15, all.mean, all.std, channels);
      if (key == 11) all = ViewSettings::plain(20, 20, all.mean, all.std, channels);
      const std::int64_t size = all.size, width = key == 11 ? 20 : 26;  // the last: pixels as they are
      const Random random(1, Purpose::view, 0, key, 0);
      std::vector<float> view(static_cast<std::size_t>(size * size * channels)), alone;
      make_view(image.data(), 20, width, all, random, view.data());
      for (std::int64_t c = 0; c < channels; ++c) {
        one = all;
        one.channels = 1;
        one.mean[0] = all.mean[static_cast<std::size_t>(c)], one.std[0] = all.std[static_cast<std::size_t>(c)];
        alone.resize(static_cast<std::size_t>(size * size));
        make_view(channel_of(image, channels, c).data(), 20, width, one, random, alone.data());
        for (std::size_t i = 0; i < alone.size(); ++i)
          ASSERT_NEAR(view[i * static_cast<std::size_t>(channels) + static_cast<std::size_t>(c)], alone[i], 1e-5)
              << channels << " channels, key " << key << ", channel " << c << ", pixel " << i;
      }
    }
  }
}

TEST(Channels, ASingleOneIsItsOwnGray) {
  const std::vector<std::uint8_t> image = image_of(9, 9, 1);
  ViewPlan plan;
  plan.crop = {0, 0, 9, 9};
  plan.jitter = true;
  plan.brightness = 1.25f, plan.contrast = 0.4f;
  std::vector<float> view(81);
  apply_view(image.data(), 9, 9, ViewSettings::identity(9, 1), plan, view.data());
  double mean = 0;
  for (const std::uint8_t value : image) mean += std::min(1.0, 1.25 * value / 255) / 81;
  for (std::size_t i = 0; i < 81; ++i)
    EXPECT_NEAR(view[i], 0.4 * std::min(1.0, 1.25 * image[i] / 255) + 0.6 * mean, 1e-6) << i;
}

TEST(Channels, StepsWithoutAMeaningAreRefusedByName) {
  const auto complaint = [](const ViewSettings& settings) {
    return message_of([&] { check_view_settings(settings, "view 1"); });
  };
  ViewSettings gray = any_view(8, 1), many = any_view(8, 5);
  gray.contrast = 0.8f;
  check_view_settings(gray, "view 1");
  check_view_settings(many, "view 1");
  gray.saturation = 0.5f;
  EXPECT_EQ(complaint(gray), "view 1: saturation is 0.5, but its images have 1 channel: expected 0");
  gray.jitter_p = 0;  // never applied
  check_view_settings(gray, "view 1");
  gray.gray_p = 0.1f;
  expect_contains(complaint(gray), {"gray_p is 0.1"});
  many.hue = 0.25f;
  expect_contains(complaint(many), {"hue is 0.25, but its images have 5 channels"});
  many.contrast = 0.5f;
  expect_contains(complaint(many), {"contrast is 0.5"});
  for (const std::int64_t channels : {0, 17}) {
    many.channels = channels;
    expect_contains(complaint(many), {"channels, expected 1 to 16"});
  }

  Options options;
  Dataset data;
  data.name = "npy";
  data.height = data.width = 8;
  data.channels = 1;
  data.std = every_channel(1);
  EXPECT_EQ(message_of([&] { view_settings(options, data); }),
            "view1: saturation is 0.8, hue is 0.2, gray_p is 0.2, but npy has 1 channel: expected 0 (--view.saturation "
            "0 --view.hue 0 --view.gray_p 0)");
  for (ViewSettings& view : options.view) view = any_view(8, 3);
  options.mean = {0.5, 0.5, 0.5};
  EXPECT_EQ(message_of([&] { view_settings(options, data); }), "--mean: expected 1 number as npy has 1 channel, got 3");
  options.mean = {0.25};
  EXPECT_EQ(view_settings(options, data)[1].mean[0], 0.25f);
  data.channels = 3;
  EXPECT_EQ(message_of([&] { view_settings(options, data); }),
            "--mean: expected 3 numbers as npy has 3 channels, got 1");
}

TEST(Channels, NuisancesNeedNoColorButHue) {
  Dataset images;
  images.name = "npy";
  images.split = "test";
  images.count = 20;
  images.height = images.width = 2;
  images.channels = 2;
  for (int i = 0; i < 20; ++i)
    for (const int value : {1, 101, 2, 102, 3, 103, 4, 104}) images.pixels.push_back(static_cast<std::uint8_t>(value));
  EXPECT_EQ(message_of([&] { with_nuisance(images, Nuisance::hue, 1); }),
            "npy: the nuisance hue needs images of 3 channels, got 2");
  const std::uint8_t turned[4][4] = {{1, 2, 3, 4}, {2, 4, 1, 3}, {4, 3, 2, 1}, {3, 1, 4, 2}};
  const Dataset rotated = with_nuisance(images, Nuisance::rotation, 1), cut = with_nuisance(images, Nuisance::crop, 1);
  for (std::int64_t i = 0; i < 20; ++i) {
    for (int p = 0; p < 4; ++p) {
      EXPECT_EQ(rotated.image(i)[2 * p], turned[rotated.label(i)][p]);
      EXPECT_EQ(rotated.image(i)[2 * p + 1], turned[rotated.label(i)][p] + 100);
    }
    EXPECT_EQ(cut.image(i)[0], 1 + cut.label(i));
    EXPECT_EQ(cut.image(i)[1], 101 + cut.label(i));
  }
}

// ---- runs

class ChannelRun : public ::testing::TestWithParam<std::int64_t> {
 protected:
  static constexpr std::int64_t side = 16, train_images = 40, test_images = 20;

  void SetUp() override {
    for (const auto& [name, count] : {std::pair{"train", train_images}, {"test", test_images}}) {
      std::string pixels, labels;
      for (std::int64_t i = 0; i < count; ++i) {
        labels += static_cast<char>(i % 2);
        for (std::int64_t y = 0; y < side; ++y)  // stripes across or down
          for (std::int64_t x = 0; x < side; ++x)
            for (std::int64_t c = 0; c < channels(); ++c)
              pixels += static_cast<char>(60 + 100 * (((i % 2 ? x : y) + i + c) / 2 % 2) + 13 * i % 40);
      }
      write(name, npy_array("|u1", {count, side, side, channels()}, pixels));
      write(std::string(name) + "_labels", npy_array("|u1", {count}, labels));
    }
  }
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / (name + ".npy"), std::ios::binary) << bytes;
  }
  std::int64_t channels() const { return GetParam(); }

  /// Two epochs of five steps without the steps that need color.
  Options run(Options options, const std::string& name) const {
    options.dataset = "npy";
    options.data = folder_.path();
    options.components.get<ResNetSettings>().width = 4;
    options.batch = 8;
    options.epochs = 2;
    options.eval_every = 1;
    options.out = folder_ / name;
    set_all(options, {"view.saturation", "view.hue", "view.gray_p"}, "0");
    if (channels() != 1) set_option(options, "view.contrast", "0");
    return options;
  }

  /// The encoder's file says what its images are, and the evaluations take it from there.
  void expect_usable(const std::string& name) const {
    const SafetensorsFile file(folder_ / (name + "/encoder.safetensors"));
    file.at("conv1.weight", "F32", {4, channels(), 3, 3});
    EXPECT_EQ(file.meta("channels"), std::to_string(channels()));
    for (const char* key : {"mean", "std"}) {
      const std::string& values = file.meta(key);
      EXPECT_EQ(std::count(values.begin(), values.end(), ','), channels() - 1) << key << " " << values;
    }
    SubjectOptions options;
    options.run = folder_ / name;
    options.judged.values.device = "cpu";
    Subject subject = open_subject(options);
    const auto features = [&](const char* split) {
      return extract_features(subject.encode(), open_dataset(subject.data, split), subject.extract, cpu_backend());
    };
    ProbeSettings probe = quick_probe();
    const LinearClassifier classifier = train_probe(features("probe"), probe, cpu_backend());
    EXPECT_GE(probe_accuracy(classifier, features("test"), cpu_backend()).top1, 75) << "stripes are easy to tell";

    EvaluationSettings settings;
    settings.metrics = chosen_metrics("knn,alignment,reconstruction,nuisance,corruptions", "npy");
    std::string lines;
    const nlohmann::ordered_json json =
        evaluate(subject, settings, [&](const std::string& line) { lines += line + "\n"; });
    EXPECT_TRUE(std::isfinite(json["reconstruction"]["r2"].get<double>()));
    EXPECT_TRUE(json["nuisance"]["rotation"].is_number());
    EXPECT_TRUE(json["nuisance"]["hue"].is_null());
    for (const char* judge : {"linear_probe", "knn_cosine_200"}) {
      const nlohmann::ordered_json& row = json["corruptions"][judge];
      EXPECT_TRUE(row["hue"].is_null());
      EXPECT_NEAR(row["mean_drop"].get<double>(),
                  row["clean"].get<double>() - (row["noise"].get<double>() + row["blur"].get<double>()) / 2, 0.02);
    }
    for (const char* figure : {"nuisance_hue", "corruptions_hue"})
      EXPECT_NE(lines.find(figure + (" not measured: npy has " + std::to_string(channels()))), std::string::npos);
  }

  TemporaryFolder folder_;
};

TEST_P(ChannelRun, SimclrTrainsAndIsJudged) {
  EXPECT_EQ(pretrain(run(small_options("simclr", 4, 8), "simclr")).steps, 10);
  expect_usable("simclr");
}

TEST_P(ChannelRun, MrclTrainsWithEveryFillAndIsJudged) {
  const std::vector<Switches> runs{{{"mrcl.mask_fill", "token"}, {"mrcl.rec_target", "clean"}},
                                   {{"mrcl.mask_fill", "noise"}, {"mrcl.mask_views", "one"}}};
  for (std::size_t i = 0; i < runs.size(); ++i)
    EXPECT_EQ(pretrain(run(tiny_mrcl("simclr", runs[i]), "mrcl" + std::to_string(i))).steps, 10);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "mrcl0/pictures/epoch_0001.png"));
  expect_usable("mrcl1");
}

TEST_P(ChannelRun, OtherObjectivesTrain) {
  Options dsa = small_options("dsa", 4, 8), icl_msr = small_options("icl_msr", 4, 8);
  set_options(dsa, {{"dsa.prior_net", "pixels"}, {"dsa.eta", "3"}});
  set_options(icl_msr, {{"icl_msr.build", "images"}, {"icl_msr.strata", "2"}});
  for (const Options& options : {dsa, icl_msr}) {
    Options two_steps = run(options, options.objective);
    two_steps.max_steps = 2;
    two_steps.eval_every = 0;
    EXPECT_EQ(pretrain(two_steps).steps, 2) << options.objective;
  }
}

TEST_P(ChannelRun, WhatNeedsColorIsRefusedBeforeTheRun) {
  Options options = run(small_options("simclr", 4, 8), "refused");
  set_option(options, "view2.hue", "0.1");
  expect_contains(message_of([&] { pretrain(options); }), {"view2: hue is 0.1, but npy has "});
  EXPECT_FALSE(std::filesystem::exists(folder_ / "refused"));
}

TEST_P(ChannelRun, AnEncoderOfOtherChannelsIsRefused) {
  pretrain(run(small_options("simclr", 4, 8), "run"));
  SubjectOptions options;
  options.run = folder_ / "run";
  options.judged.values.device = "cpu";
  options.judged.set("dataset", "confounded_shapes");
  options.limit = 20;
  Subject subject = open_subject(options);
  expect_contains(
      message_of([&] {
        extract_features(subject.encode(), open_dataset(subject.data, "test"), subject.extract, cpu_backend());
      }),
      {"confounded_shapes test: images of 3 channels, but the encoder takes " + std::to_string(channels())});
}

INSTANTIATE_TEST_SUITE_P(, ChannelRun, testing::Values(1, 5), testing::PrintToStringParamName());

}  // namespace
}  // namespace vergence
