// Files of images that are damaged, as an evaluation meets them.
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/random.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/subject.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"

namespace vergence {
namespace {

/// Features that are the mean of each channel.
Tensor channel_means(const Tensor& images) {
  const std::vector<float> values = images.floats();
  const std::int64_t count = images.shape[0], area = images.shape[1] * images.shape[2];
  std::vector<float> means(static_cast<std::size_t>(3 * count), 0.0f);
  for (std::int64_t i = 0; i < count * area * 3; ++i)
    means[static_cast<std::size_t>(i / (3 * area) * 3 + i % 3)] +=
        values[static_cast<std::size_t>(i)] / static_cast<float>(area);
  return from_floats(cpu_backend(), {count, 3}, means);
}

TEST(BadImages, AreLeftOutOfAnEvaluation) {
  const ImageTree folder;
  const auto open = [&](BadImagePolicy policy) {
    return open_dataset({.name = "image_folder", .directory = folder.path(), .bad_images = policy}, "train");
  };
  folder.classes("train", 6);
  folder.cut_in_half("train/a/102.png");
  ExtractSettings settings{.image_size = 16, .std = {1, 1, 1}, .batch = 5};
  const Dataset data = open(BadImagePolicy::skip);
  const Features features = extract_features(channel_means, data, settings, cpu_backend());
  EXPECT_EQ(features.labels, (std::vector<std::int32_t>{0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  ASSERT_EQ(features.values.size(), 33u);
  const Dataset copy = in_memory(data, settings);
  EXPECT_EQ(copy.count, 11);
  EXPECT_EQ(copy.height, 16);
  const Features again = extract_features(channel_means, copy, settings, cpu_backend());
  EXPECT_EQ(again.labels, features.labels);
  for (std::size_t i = 0; i < features.values.size(); ++i) EXPECT_NEAR(again.values[i], features.values[i], 1.0 / 255);
  const Dataset strict = open(BadImagePolicy::stop);
  expect_contains(message_of([&] { extract_features(channel_means, strict, settings, cpu_backend()); }),
                  {"a/102.png: damaged image"});
}

#ifdef VERGENCE_JPEG_TURBO
/// Judges val, whose file 3.jpg lacks its last rows. The plain images are of the middle rows alone.
Subject subject_of(const ImageTree& folder) {
  Random random(1, Purpose::test);
  std::vector<std::uint8_t> noise(300 * 400 * 3);  // every row takes as many bytes
  for (const char* name : {"1", "2", "3", "4"}) {
    for (std::uint8_t& value : noise) value = static_cast<std::uint8_t>(random.below(256));
    const std::string whole = jpeg_file(noise, 300, 400, {3, 2, 2});
    folder.write(std::string("val/a/") + name + ".jpg", *name == '3' ? whole.substr(0, whole.size() * 9 / 10) : whole);
  }
  folder.picture("train/a/1.png");
  ResNetSettings settings;
  settings.width = 2;
  settings.image_size = 16;
  save_encoder(folder / "encoder.safetensors", make_resnet(settings, {cpu_backend(), 3}), {},
               {{"dataset", "image_folder"}, {"mean", "[0,0,0]"}, {"std", "[1,1,1]"}});
  SubjectOptions options;
  options.encoder_file = folder / "encoder.safetensors";
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"data", folder.path()}, {"bad-images", "skip"}, {"eval-resize", "32"}, {"device", "cpu"}})
    options.judged.set(name, value);
  return open_subject(options);
}

TEST(BadImages, AreLeftOutOfBothViewsOfAnAlignment) {
  const ImageTree folder;
  Subject subject = subject_of(folder);
  EvaluationSettings settings;
  settings.metrics = {"alignment"};
  int found_by_the_second_view = 0;
  for (settings.seed = 1; settings.seed <= 12; ++settings.seed) {
    const Dataset test = open_dataset(subject.data, "test");
    const auto rows = [&](std::int64_t view) {
      return extract_view_features(subject.encode(), test, subject.extract, probe_view(), settings.seed, view,
                                   cpu_backend())
          .rows();
    };
    const std::int64_t first = rows(0), second = rows(1);
    found_by_the_second_view += first == 4 && second == 3;
    std::vector<std::string> lines;
    const auto json = evaluate(subject, settings, [&](const std::string& line) { lines.push_back(line); });
    EXPECT_EQ(json["test_images"], 4) << "as they are un-augmented";
    EXPECT_TRUE(json["alignment"]["alignment"].is_number());
    ASSERT_EQ(lines.size(), second == 3 ? 3u : 2u);
    if (second == 3) expect_contains(lines[0], {"skipped ", "val/a/3.jpg"});
  }
  EXPECT_GT(found_by_the_second_view, 0);
}
#endif

}  // namespace
}  // namespace vergence
