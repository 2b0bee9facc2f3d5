// Data sets whose images are made of layers: a shape over a background, with an exact foreground mask. The background
// has a family, and family k matches class k: in the training split most of the time, elsewhere by chance. So a model
// can learn the background instead of the object, and evaluation can measure that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "engine/text/enum_words.h"

namespace vergence {

/// The visible layers of an image.
enum class ImageVersion {
  full,             // the image as in the data set
  foreground_only,  // the shape on the data set's mean color
  background_only,  // the background without the shape
  repaired,         // the shape on the background of a random other image of the split ("re-paired")
};
inline constexpr Word<ImageVersion> image_version_words[]{{"full", ImageVersion::full},
                                                          {"foreground_only", ImageVersion::foreground_only},
                                                          {"background_only", ImageVersion::background_only},
                                                          {"repaired", ImageVersion::repaired}};

/// The version's word.
const char* name_of(ImageVersion version);

/// The layers of one image of height x width pixels, values in [0, 1].
struct ImageLayers {
  std::vector<float> foreground;  // HWC, defined everywhere
  std::vector<float> coverage;    // HW: how much of each pixel the foreground covers, in steps of 1/255
  std::vector<float> background;  // HWC
};

/// Images in each split.
struct SplitCounts {
  std::int64_t train, probe, val, test;
};

/// One split of such a data set. Threads may use it at the same time.
class LayeredSplit {
 public:
  virtual ~LayeredSplit() = default;
  LayeredSplit(const LayeredSplit&) = delete;
  LayeredSplit& operator=(const LayeredSplit&) = delete;

  std::int64_t count() const { return about_.count; }
  /// The class.
  virtual std::int32_t label(std::int64_t index) const = 0;
  /// The background's family, in [0, classes).
  virtual std::int32_t family(std::int64_t index) const = 0;
  virtual ImageLayers layers(std::int64_t index) const = 0;

  /// The image whose background this one gets when re-paired: any other image of the split.
  std::int64_t partner(std::int64_t index) const;
  /// One image as bytes, HWC. Throws Error if `index` is out of range.
  std::vector<std::uint8_t> image(std::int64_t index, ImageVersion version = ImageVersion::full) const;
  /// The exact foreground mask, HW: coverage in 1/255; 128 and above is foreground.
  std::vector<std::uint8_t> mask(std::int64_t index) const;

  /// The split's first `limit` images (0: all). Uses the OpenMP threads.
  Dataset render(ImageVersion version = ImageVersion::full, std::int64_t limit = 0) const;
  /// Their masks, [count, H, W]. Uses the OpenMP threads.
  std::vector<std::uint8_t> masks(std::int64_t limit = 0) const;

 protected:
  /// `about`: the data set without count, pixels and labels. Throws UsageError for an unknown split.
  LayeredSplit(Dataset about, const SplitCounts& counts, std::uint64_t seed);

  /// Throws Error if `index` is out of range.
  void expect_image(std::int64_t index) const;
  std::uint64_t seed() const { return seed_; }
  /// The `epoch` of the split's random streams: 0 in "train".
  std::uint32_t number() const { return number_; }

 private:
  std::int64_t limited(std::int64_t limit) const { return limit > 0 && limit < count() ? limit : count(); }

  Dataset about_;
  std::uint64_t seed_;
  std::uint32_t number_;
};

/// The number of a split in random streams: train 0, probe and probe_without_val 1, val 2, test 3. Throws UsageError,
/// which begins with `dataset`, for any other.
std::uint32_t layered_split_number(const std::string& dataset, const std::string& split);

}  // namespace vergence
