// confounded_shapes: a rendered data set that needs no download. The class is a shape (random place, size, angle,
// color) drawn over a texture; in the training split the texture's family agrees with the class most of the time,
// elsewhere only by chance. So a model can learn the background instead of the object, and evaluation can measure that.
//
// A sample is a few parameters drawn from (seed, split, index). They determine three layers (foreground color,
// coverage, background color), and these any version of the image, with an exact foreground mask.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/shapes/layered_images.h"

namespace vergence {

inline constexpr std::int32_t shape_classes = 10;  // classes, and texture families: family k belongs to class k

/// "circle", "square", …; "stripes", "checks", …
const std::array<const char*, shape_classes>& shape_names();
const std::array<const char*, shape_classes>& texture_names();

/// The data set's options.
struct ShapesOptions {
  double confounding = 0.9;                   // P(texture family = class) in "train"
  ImageVersion version = ImageVersion::full;  // the version of the training images
};

/// Heights and widths that can be rendered.
constexpr std::int64_t smallest_shapes = 16, largest_shapes = 96;

struct ShapesSettings {
  std::int64_t image_size = 32;  // height and width
  std::uint64_t seed = 0;
  double confounding = 0.9;  // P(texture family = class) in "train"; 0.1 (chance) in the other splits
};

/// The settings for shapes from a data set's settings.
ShapesSettings shapes_settings(const DatasetSettings& settings);

/// Everything random about one image. Lengths are in units of the image's side, angles in radians.
struct ShapeSample {
  std::int32_t shape = 0;                     // the class
  std::int32_t background = 0;                // the texture family
  float x = 0, y = 0, radius = 0, angle = 0;  // center, half extent and tilt of the shape
  std::array<float, 3> color{};               // of the shape
  float shade = 0, shade_angle = 0;           // strength and direction of the light across the shape
  std::array<float, 3> dark{}, light{};       // the texture's two colors
  float period = 0, texture_angle = 0;        // the texture's scale and turn
  float phase_x = 0, phase_y = 0;             // and its offset, in periods
  float noise_level = 0;                      // the pixel noise's largest amplitude
  std::uint32_t noise = 0;                    // and its key
};

/// The parameters of image `index` of a split: any index from 0, beyond the data set's too. Throws UsageError for bad
/// settings and unknown splits.
ShapeSample shapes_sample(const ShapesSettings& settings, const std::string& split, std::int64_t index);

/// The background under the shape; `none` leaves that layer empty.
enum class ShapeGround { texture, none };

/// The layers of one image, size x size.
ImageLayers shapes_layers(const ShapeSample& sample, std::int64_t size, ShapeGround ground = ShapeGround::texture);

/// One split: train has 8,000 images; probe, val and test 2,000 each.
class ShapesSplit : public LayeredSplit {
 public:
  /// Throws UsageError for bad settings and unknown splits.
  ShapesSplit(const ShapesSettings& settings, const std::string& split);

  std::int32_t label(std::int64_t index) const override { return sample(index).shape; }
  std::int32_t family(std::int64_t index) const override { return sample(index).background; }
  ImageLayers layers(std::int64_t index) const override;
  ShapeSample sample(std::int64_t index) const;

 private:
  ShapesSettings settings_;
  std::string split_;
};

/// Renders a split in the given version; `limit` > 0 renders only the first images. Uses the OpenMP threads.
Dataset render_shapes(const ShapesSettings& settings, const std::string& split, std::int64_t limit = 0,
                      ImageVersion version = ImageVersion::full);

}  // namespace vergence
