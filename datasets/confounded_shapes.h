// confounded_shapes: a rendered data set that needs no download. The class is a shape (random place, size, angle,
// colour) drawn over a texture; in the training split the texture's family agrees with the class most of the time,
// elsewhere it tells nothing. So a model can learn the background instead of the object, and it can be measured whether
// it did.
//
// A sample is a handful of parameters, drawn from (seed, split, index). From them come three layers (foreground colour,
// coverage, background colour), and from the layers any version of the image, with an exact foreground mask.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

inline constexpr std::int32_t shape_classes = 10;  // classes, and texture families: family k belongs to class k

/// "circle", "square", …; "stripes", "checks", …
const std::array<const char*, shape_classes>& shape_names();
const std::array<const char*, shape_classes>& texture_names();

struct ShapesSettings {
  std::int64_t image_size = 32;  // height and width, 16 to 96
  std::uint64_t seed = 0;
  double confounding = 0.9;  // P(texture family = class) in "train"; 0.1 (chance) in the other splits
};

/// The part of a data set's settings that is about shapes.
ShapesSettings shapes_settings(const DatasetSettings& settings);

/// Images in a split: train 8,000; probe, val and test 2,000 each. Throws UsageError for an unknown split.
std::int64_t shapes_count(const std::string& split);

/// Everything random about one image. Lengths are in units of the image's side, angles in radians.
struct ShapeSample {
  std::int32_t shape = 0;                     // the class
  std::int32_t background = 0;                // the texture family
  float x = 0, y = 0, radius = 0, angle = 0;  // centre, half extent and tilt of the shape
  std::array<float, 3> colour{};              // of the shape
  float shade = 0, shade_angle = 0;           // strength and direction of the light across the shape
  std::array<float, 3> dark{}, light{};       // the texture's two colours
  float period = 0, texture_angle = 0;        // the texture's scale and turn
  float phase_x = 0, phase_y = 0;             // and its offset, in periods
  float noise_level = 0;                      // the pixel noise's largest amplitude
  std::uint32_t noise = 0;                    // and its key
};

/// The parameters of image `index` of a split.
ShapeSample shapes_sample(const ShapesSettings& settings, const std::string& split, std::int64_t index);

/// The layers of one image, size x size, values in [0, 1].
struct ShapeLayers {
  std::vector<float> foreground;  // HWC, defined everywhere
  std::vector<float> coverage;    // HW: how much of each pixel the shape covers
  std::vector<float> background;  // HWC
};
ShapeLayers shapes_layers(const ShapeSample& sample, std::int64_t size);

enum class ShapeVersion {
  full,             // the image as in the data set
  foreground_only,  // the shape on the data set's mean colour
  background_only,  // the texture without the shape
  repaired,         // the shape on the background of a random other image of the split ("re-paired")
};

/// "full", "foreground_only", "background_only" or "repaired"; throws UsageError naming them otherwise.
ShapeVersion shape_version(const std::string& name);
const char* name_of(ShapeVersion version);

/// One image as bytes, HWC. `full` equals the data set's image.
std::vector<std::uint8_t> shapes_image(const ShapesSettings& settings, const std::string& split, std::int64_t index,
                                       ShapeVersion version = ShapeVersion::full);

/// The exact foreground mask, HW: coverage in 1/255; 128 and above is foreground.
std::vector<std::uint8_t> shapes_mask(const ShapesSettings& settings, const std::string& split, std::int64_t index);

/// The masks of a whole split, [count, H, W]; `limit` as for render_shapes. Uses the OpenMP threads.
std::vector<std::uint8_t> shapes_masks(const ShapesSettings& settings, const std::string& split,
                                       std::int64_t limit = 0);

/// The texture family of every image of a split.
std::vector<std::int32_t> shapes_backgrounds(const ShapesSettings& settings, const std::string& split);

/// Renders a split in the given version; `limit` > 0 renders the first images alone. Uses the OpenMP threads.
Dataset render_shapes(const ShapesSettings& settings, const std::string& split, std::int64_t limit = 0,
                      ShapeVersion version = ShapeVersion::full);

}  // namespace vergence
