// Files of images that are damaged, as an evaluation meets them.
#include <gtest/gtest.h>

#include "ssl/evaluation/features/features.h"
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

}  // namespace
}  // namespace vergence
