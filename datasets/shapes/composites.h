// composites: the shapes of confounded_shapes drawn over photographs, the images of CIFAR-10. The class is the shape,
// the background's family the photograph's class; in the training split the two agree most of the time, elsewhere by
// chance. Image i has the shape of image i of confounded_shapes with the same seed, its noise included; the photograph
// shows through unchanged wherever the shape does not cover it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/shapes/confounded_shapes.h"
#include "datasets/shapes/layered_images.h"

namespace vergence {

/// The source of the backgrounds.
enum class Photographs { cifar10 };
inline constexpr Word<Photographs> photographs_words[]{{"cifar10", Photographs::cifar10}};

/// The data set's options.
struct CompositesOptions {
  Photographs background = Photographs::cifar10;
  double confounding = 0.9;                   // P(photograph's class = shape's) in "train"
  ImageVersion version = ImageVersion::full;  // the version of the training images
};

struct CompositesSettings {
  std::string directory;  // has the backgrounds' files
  std::uint64_t seed = 0;
  double confounding = 0.9;  // P(family = class) in "train"; 0.1 (chance) in the other splits
};

/// The settings for composites from a data set's settings.
CompositesSettings composites_settings(const DatasetSettings& settings);

/// One split of 32 x 32 images: 20,000 in train; 5,000 each in probe, val and test. Backgrounds come from training
/// files 1 to 3, file 4, file 5 and the test file; each serves once unless the files have too few of a class.
class CompositesSplit : public LayeredSplit {
 public:
  /// Reads the files that the split needs. Throws UsageError for bad settings, unknown splits, missing or damaged
  /// files, and a class without images.
  CompositesSplit(const CompositesSettings& settings, const std::string& split);

  std::int32_t label(std::int64_t index) const override { return sample(index).shape; }
  std::int32_t family(std::int64_t index) const override { return sample(index).background; }
  ImageLayers layers(std::int64_t index) const override;
  /// The background's index in the source's split "train", or "test" for the split "test".
  std::int64_t source_index(std::int64_t index) const;

 private:
  ShapeSample sample(std::int64_t index) const;
  std::vector<std::int64_t> choose_backgrounds() const;

  ShapesSettings shapes_;
  std::string split_;
  std::int64_t first_;  // of `backgrounds_` in the source
  Dataset backgrounds_;
  std::vector<std::int64_t> chosen_;  // places in `backgrounds_`, by image
};

}  // namespace vergence
