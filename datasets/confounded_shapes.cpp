// confounded_shapes: samples, versions of an image, and whole splits.
#include "datasets/confounded_shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace vergence {
namespace {

// The training split's statistics at the default settings; a test renders it and compares.
constexpr ChannelValues shapes_mean{0.497f, 0.497f, 0.497f}, shapes_std{0.206f, 0.206f, 0.206f};

struct Split {
  const char* name;
  std::int64_t count;
};
constexpr std::array<Split, 4> splits{{{"train", 8000}, {"probe", 2000}, {"val", 2000}, {"test", 2000}}};

/// The split's number: the `epoch` of its random streams.
std::uint32_t number_of(const std::string& split) {
  const std::string name = split == "probe_without_val" ? "probe" : split;  // val is no part of probe
  for (std::size_t i = 0; i < splits.size(); ++i)
    if (name == splits[i].name) return static_cast<std::uint32_t>(i);
  throw UsageError(join("confounded_shapes: unknown split '", split, "', expected train, probe, val or test"));
}

void check(const ShapesSettings& settings) {
  require_usage(settings.image_size >= 16 && settings.image_size <= 96, "confounded_shapes: image_size is ",
                settings.image_size, ", expected 16 to 96");
  require_usage(settings.confounding >= 0 && settings.confounding <= 1, "confounded_shapes: confounding is ",
                settings.confounding, ", expected 0 to 1");
}

/// Any colour of the given brightness: grey plus a random direction of colour, `strength` long.
std::array<float, 3> draw_colour(float brightness, float strength, Random& random) {
  const float angle = random.uniform(0, 2 * std::numbers::pi_v<float>);
  std::array<float, 3> colour;
  for (std::size_t c = 0; c < 3; ++c) {
    const float third = 2 * std::numbers::pi_v<float> / 3 * static_cast<float>(c);
    colour[c] = std::clamp(brightness + strength * std::cos(angle - third), 0.0f, 1.0f);
  }
  return colour;
}

/// The texture family: the class's own with the given probability, otherwise one of the other nine.
std::int32_t draw_background(std::int32_t shape, double agreement, Random& random) {
  const bool agrees = random.uniform() < static_cast<float>(agreement);
  const auto other = static_cast<std::int32_t>(random.below(shape_classes - 1)) + 1;
  return agrees ? shape : (shape + other) % shape_classes;
}

/// Shape and texture differ in brightness by at least 0.22, in either direction, so that no shape is invisible.
void draw_colours(ShapeSample& sample, Random& random) {
  const float ground = random.uniform(0.3f, 0.7f), contrast = random.uniform(0.1f, 0.24f);
  const float tint = random.uniform(0.02f, 0.2f);
  sample.dark = draw_colour(ground - contrast / 2, tint, random);
  sample.light = draw_colour(ground + contrast / 2, tint, random);
  const float gap = contrast / 2 + random.uniform(0.22f, 0.4f);
  const bool brighter = random.chance(0.5f);
  const float strength = random.uniform(0.05f, 0.3f);
  const bool fits = brighter ? ground + gap <= 0.98f : ground - gap >= 0.02f;
  sample.colour = draw_colour(brighter == fits ? ground + gap : ground - gap, strength, random);
}

std::vector<std::uint8_t> composite(const std::vector<float>& over, const std::vector<float>& coverage,
                                    const std::vector<float>& under) {
  std::vector<std::uint8_t> image(over.size());
  for (std::size_t i = 0; i < image.size(); ++i)
    image[i] = static_cast<std::uint8_t>(std::lround(255 * std::lerp(under[i], over[i], coverage[i / 3])));
  return image;
}

std::int64_t limited_count(const std::string& split, std::int64_t limit) {
  return limit > 0 ? std::min(limit, shapes_count(split)) : shapes_count(split);
}

/// The sample whose background image `index` is re-paired with: any other of the split.
std::int64_t draw_partner(const ShapesSettings& settings, const std::string& split, std::int64_t index) {
  // Streams of view 1 belong to the re-pairing, those of view 0 to the samples.
  Random random(settings.seed, Purpose::shapes, number_of(split), static_cast<std::uint64_t>(index), 1);
  const std::int64_t count = shapes_count(split);
  return (index + 1 + random.below(static_cast<std::uint32_t>(count - 1))) % count;
}

}  // namespace

ShapesSettings shapes_settings(const DatasetSettings& settings) {
  return {settings.image_size ? settings.image_size : 32, settings.seed, settings.confounding};
}

std::int64_t shapes_count(const std::string& split) { return splits[number_of(split)].count; }

ShapeSample shapes_sample(const ShapesSettings& settings, const std::string& split, std::int64_t index) {
  check(settings);
  const std::uint32_t number = number_of(split);
  require(index >= 0 && index < shapes_count(split), "confounded_shapes: image ", index, " of ", shapes_count(split));
  constexpr float turn = 2 * std::numbers::pi_v<float>;
  Random random(settings.seed, Purpose::shapes, number, static_cast<std::uint64_t>(index));
  ShapeSample sample;
  sample.shape = static_cast<std::int32_t>(random.below(shape_classes));
  sample.background = draw_background(sample.shape, number == 0 ? settings.confounding : 1.0 / shape_classes, random);
  sample.radius = random.uniform(0.26f, 0.4f);
  sample.x = 0.5f + random.uniform(-1, 1) * (0.48f - sample.radius);
  sample.y = 0.5f + random.uniform(-1, 1) * (0.48f - sample.radius);
  sample.angle = random.uniform(-0.5f, 0.5f);
  sample.shade = random.uniform(0, 0.25f);
  sample.shade_angle = random.uniform(0, turn);
  draw_colours(sample, random);
  sample.period = random.uniform(0.2f, 0.34f);
  sample.texture_angle = random.uniform(-0.2f, 0.2f);
  sample.phase_x = random.uniform(-1, 1);
  sample.phase_y = random.uniform(-1, 1);
  sample.noise_level = random.uniform(0.02f, 0.08f);
  sample.noise = random.bits();
  return sample;
}

ShapeVersion shape_version(const std::string& name) {
  for (ShapeVersion version :
       {ShapeVersion::full, ShapeVersion::foreground_only, ShapeVersion::background_only, ShapeVersion::repaired})
    if (name == name_of(version)) return version;
  throw UsageError(join("confounded_shapes: unknown version '", name,
                        "', expected full, foreground_only, background_only or repaired"));
}

const char* name_of(ShapeVersion version) {
  switch (version) {
    case ShapeVersion::full:
      return "full";
    case ShapeVersion::foreground_only:
      return "foreground_only";
    case ShapeVersion::background_only:
      return "background_only";
    case ShapeVersion::repaired:
      return "repaired";
  }
  return "?";
}

std::vector<std::uint8_t> shapes_image(const ShapesSettings& settings, const std::string& split, std::int64_t index,
                                       ShapeVersion version) {
  ShapeLayers layers = shapes_layers(shapes_sample(settings, split, index), settings.image_size);
  switch (version) {
    case ShapeVersion::full:
      break;
    case ShapeVersion::foreground_only:
      for (std::size_t i = 0; i < layers.background.size(); ++i) layers.background[i] = shapes_mean[i % 3];
      break;
    case ShapeVersion::background_only:
      std::fill(layers.coverage.begin(), layers.coverage.end(), 0.0f);
      break;
    case ShapeVersion::repaired:
      layers.background =
          shapes_layers(shapes_sample(settings, split, draw_partner(settings, split, index)), settings.image_size)
              .background;
      break;
  }
  return composite(layers.foreground, layers.coverage, layers.background);
}

std::vector<std::uint8_t> shapes_mask(const ShapesSettings& settings, const std::string& split, std::int64_t index) {
  const ShapeLayers layers = shapes_layers(shapes_sample(settings, split, index), settings.image_size);
  std::vector<std::uint8_t> mask(layers.coverage.size());
  for (std::size_t i = 0; i < mask.size(); ++i)
    mask[i] = static_cast<std::uint8_t>(std::lround(255 * layers.coverage[i]));
  return mask;
}

std::vector<std::uint8_t> shapes_masks(const ShapesSettings& settings, const std::string& split, std::int64_t limit) {
  check(settings);
  const std::int64_t count = limited_count(split, limit), pixels = settings.image_size * settings.image_size;
  std::vector<std::uint8_t> masks(static_cast<std::size_t>(count * pixels));
  parallel_for(count, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::vector<std::uint8_t> mask = shapes_mask(settings, split, i);
      std::copy(mask.begin(), mask.end(), masks.begin() + i * pixels);
    }
  });
  return masks;
}

std::vector<std::int32_t> shapes_backgrounds(const ShapesSettings& settings, const std::string& split) {
  std::vector<std::int32_t> families;
  for (std::int64_t i = 0; i < shapes_count(split); ++i)
    families.push_back(shapes_sample(settings, split, i).background);
  return families;
}

Dataset render_shapes(const ShapesSettings& settings, const std::string& split, std::int64_t limit,
                      ShapeVersion version) {
  check(settings);
  Dataset data;
  data.name = "confounded_shapes";
  data.split = split;
  data.count = limited_count(split, limit);
  data.height = data.width = settings.image_size;
  data.classes = shape_classes;
  data.mean = shapes_mean;
  data.std = shapes_std;
  data.labels.resize(static_cast<std::size_t>(data.count));
  data.pixels.resize(static_cast<std::size_t>(data.count * data.image_size()));
  parallel_for(data.count, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      data.labels[static_cast<std::size_t>(i)] = shapes_sample(settings, split, i).shape;
      const std::vector<std::uint8_t> image = shapes_image(settings, split, i, version);
      std::copy(image.begin(), image.end(), data.pixels.begin() + i * data.image_size());
    }
  });
  return data;
}

}  // namespace vergence
