// Composes images from layers.
#include "datasets/shapes/layered_images.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace vergence {
namespace {

std::vector<std::uint8_t> blend(const ImageLayers& layers) {
  std::vector<std::uint8_t> image(layers.foreground.size());
  for (std::size_t i = 0; i < image.size(); ++i)
    image[i] = static_cast<std::uint8_t>(
        std::lround(255 * std::lerp(layers.background[i], layers.foreground[i], layers.coverage[i / 3])));
  return image;
}

}  // namespace

const char* name_of(ImageVersion version) { return text_of(image_version_words, version); }

LayeredSplit::LayeredSplit(Dataset about, const SplitCounts& counts, std::uint64_t seed)
    : about_(std::move(about)), seed_(seed), number_(layered_split_number(about_.name, about_.split)) {
  about_.count = std::array{counts.train, counts.probe, counts.val, counts.test}[number_];
}

void LayeredSplit::expect_image(std::int64_t index) const {
  require(index >= 0 && index < count(), about_.name, ": image ", index, " of ", count());
}

std::int64_t LayeredSplit::partner(std::int64_t index) const {
  expect_image(index);
  // View 1 of the random streams: view 0 belongs to the samples.
  Random random(seed_, Purpose::shapes, number_, static_cast<std::uint64_t>(index), 1);
  return (index + 1 + random.below(static_cast<std::uint32_t>(count() - 1))) % count();
}

std::vector<std::uint8_t> LayeredSplit::image(std::int64_t index, ImageVersion version) const {
  ImageLayers there = layers(index);
  switch (version) {
    case ImageVersion::full:
      break;
    case ImageVersion::foreground_only:
      for (std::size_t i = 0; i < there.background.size(); ++i) there.background[i] = about_.mean[i % 3];
      break;
    case ImageVersion::background_only:
      std::fill(there.coverage.begin(), there.coverage.end(), 0.0f);
      break;
    case ImageVersion::repaired:
      there.background = layers(partner(index)).background;
      break;
  }
  return blend(there);
}

std::vector<std::uint8_t> LayeredSplit::mask(std::int64_t index) const {
  const std::vector<float> coverage = layers(index).coverage;
  std::vector<std::uint8_t> mask(coverage.size());
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = static_cast<std::uint8_t>(std::lround(255 * coverage[i]));
  return mask;
}

Dataset LayeredSplit::render(ImageVersion version, std::int64_t limit) const {
  Dataset data = about_;
  data.count = limited(limit);
  data.labels.resize(static_cast<std::size_t>(data.count));
  data.pixels.resize(static_cast<std::size_t>(data.count * data.image_bytes()));
  parallel_for(data.count, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      data.labels[static_cast<std::size_t>(i)] = label(i);
      const std::vector<std::uint8_t> pixels = image(i, version);
      std::copy(pixels.begin(), pixels.end(), data.pixels.begin() + i * data.image_bytes());
    }
  });
  return data;
}

std::vector<std::uint8_t> LayeredSplit::masks(std::int64_t limit) const {
  const std::int64_t images = limited(limit), pixels = about_.height * about_.width;
  std::vector<std::uint8_t> all(static_cast<std::size_t>(images * pixels));
  parallel_for(images, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::vector<std::uint8_t> one = mask(i);
      std::copy(one.begin(), one.end(), all.begin() + i * pixels);
    }
  });
  return all;
}

std::uint32_t layered_split_number(const std::string& dataset, const std::string& split) {
  const std::array<const char*, 4> names{"train", "probe", "val", "test"};
  const std::string name = split == "probe_without_val" ? "probe" : split;  // val is no part of probe
  const auto found = std::find(names.begin(), names.end(), name);
  require_usage(found != names.end(), dataset, ": unknown split '", split, "', expected train, probe, val or test");
  return static_cast<std::uint32_t>(found - names.begin());
}

}  // namespace vergence
