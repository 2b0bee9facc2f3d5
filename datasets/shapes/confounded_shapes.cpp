// confounded_shapes: samples and splits.
#include "datasets/shapes/confounded_shapes.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"
#include "kernels/random.h"

namespace vergence {
namespace {

// The training split's statistics at the default settings; a test renders it and compares.
constexpr ChannelValues shapes_mean{0.497f, 0.497f, 0.497f}, shapes_std{0.206f, 0.206f, 0.206f};

void check_shapes(const ShapesSettings& settings) {
  require_usage(settings.image_size >= smallest_shapes && settings.image_size <= largest_shapes,
                "confounded_shapes: image_size is ", settings.image_size, ", expected ", smallest_shapes, " to ",
                largest_shapes);
  require_usage(settings.confounding >= 0 && settings.confounding <= 1, "confounded_shapes: confounding is ",
                settings.confounding, ", expected 0 to 1");
}

/// A random color of the given brightness: gray plus a random direction of color, `strength` long.
std::array<float, 3> draw_color(float brightness, float strength, Random& random) {
  const float angle = random.uniform(0, 2 * std::numbers::pi_v<float>);
  std::array<float, 3> color;
  for (std::size_t c = 0; c < 3; ++c) {
    const float third = 2 * std::numbers::pi_v<float> / 3 * static_cast<float>(c);
    color[c] = std::clamp(brightness + strength * std::cos(angle - third), 0.0f, 1.0f);
  }
  return color;
}

/// The texture family: the class's own with the given probability, otherwise one of the other nine.
std::int32_t draw_background(std::int32_t shape, double agreement, Random& random) {
  const bool agrees = random.uniform() < static_cast<float>(agreement);
  const auto other = static_cast<std::int32_t>(random.below(shape_classes - 1)) + 1;
  return agrees ? shape : (shape + other) % shape_classes;
}

/// Shape and texture differ in brightness by at least 0.22, in either direction, so that no shape is invisible.
void draw_colors(ShapeSample& sample, Random& random) {
  const float ground = random.uniform(0.3f, 0.7f), contrast = random.uniform(0.1f, 0.24f);
  const float tint = random.uniform(0.02f, 0.2f);
  sample.dark = draw_color(ground - contrast / 2, tint, random);
  sample.light = draw_color(ground + contrast / 2, tint, random);
  const float gap = contrast / 2 + random.uniform(0.22f, 0.4f);
  const bool brighter = random.chance(0.5f);
  const float strength = random.uniform(0.05f, 0.3f);
  const bool fits = brighter ? ground + gap <= 0.98f : ground - gap >= 0.02f;
  sample.color = draw_color(brighter == fits ? ground + gap : ground - gap, strength, random);
}

Dataset about_shapes(const ShapesSettings& settings, const std::string& split) {
  check_shapes(settings);
  Dataset about;
  about.name = "confounded_shapes";
  about.split = split;
  about.height = about.width = settings.image_size;
  about.classes = shape_classes;
  about.class_names.assign(shape_names().begin(), shape_names().end());
  about.mean = shapes_mean;
  about.std = shapes_std;
  return about;
}

}  // namespace

ShapesSettings shapes_settings(const DatasetSettings& settings) {
  return {settings.image_size ? settings.image_size : 32, settings.seed,
          settings.components.get<ShapesOptions>().confounding};
}

ShapeSample shapes_sample(const ShapesSettings& settings, const std::string& split, std::int64_t index) {
  check_shapes(settings);
  const std::uint32_t number = layered_split_number("confounded_shapes", split);
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
  draw_colors(sample, random);
  sample.period = random.uniform(0.2f, 0.34f);
  sample.texture_angle = random.uniform(-0.2f, 0.2f);
  sample.phase_x = random.uniform(-1, 1);
  sample.phase_y = random.uniform(-1, 1);
  sample.noise_level = random.uniform(0.02f, 0.08f);
  sample.noise = random.bits();
  return sample;
}

ShapesSplit::ShapesSplit(const ShapesSettings& settings, const std::string& split)
    : LayeredSplit(about_shapes(settings, split), {8000, 2000, 2000, 2000}, settings.seed),
      settings_(settings),
      split_(split) {}

ShapeSample ShapesSplit::sample(std::int64_t index) const {
  expect_image(index);
  return shapes_sample(settings_, split_, index);
}

ImageLayers ShapesSplit::layers(std::int64_t index) const { return shapes_layers(sample(index), settings_.image_size); }

Dataset render_shapes(const ShapesSettings& settings, const std::string& split, std::int64_t limit,
                      ImageVersion version) {
  return ShapesSplit(settings, split).render(version, limit);
}

}  // namespace vergence
