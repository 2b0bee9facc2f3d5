// Dense probe: does the feature map show where the object is? A 1x1 convolution on the frozen last feature map,
// upsampled to the image, separates foreground from background per pixel. Layered images have exact masks.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/shapes/layered_images.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"

namespace vergence {

/// Feature maps, and the class of every pixel of their images.
struct LabeledMaps {
  std::int64_t images = 0, height = 0, width = 0, dim = 0;  // of the feature maps
  std::int64_t size = 0;                                    // height and width of the images
  std::int64_t classes = 0;
  std::vector<float> values;         // [images, height, width, dim]
  std::vector<std::int32_t> labels;  // [images, size, size], in [0, classes)
};

/// Returns the weights that upsample a row from `from` to `to` values: [to, from]. Bilinear with half-pixel centers and
/// repeated edges, as PyTorch's interpolate without align_corners.
std::vector<double> bilinear_weights(std::int64_t from, std::int64_t to);

/// The defaults of `evaluate`: Adam on standardized maps, with an exponentially decaying rate.
struct DenseSettings {
  std::int64_t epochs = 30, batch = 50;  // images
  double lr = 1e-2, final_lr = 1e-4;
  std::uint64_t seed = 1;  // for the order of the images; the initial weights are zero
};

/// Minimizes the mean pixel cross-entropy of logits that are computed on the map and then upsampled.
LinearClassifier train_dense(const LabeledMaps& train, const DenseSettings& settings, Backend& backend);

/// Returns the most likely class of every pixel, [images, size, size]; the smaller of classes with equal logits.
std::vector<std::int32_t> predict_pixels(const LinearClassifier& classifier, const LabeledMaps& maps, Backend& backend);

/// Counts pixels by class and prediction over all added images.
class Confusion {
 public:
  explicit Confusion(std::int64_t classes) : classes_(classes), counts_(static_cast<std::size_t>(classes * classes)) {}

  void add(const std::vector<std::int32_t>& predicted, const std::vector<std::int32_t>& truth);
  /// Per cent: hits / (hits + misses + false alarms). NaN for a class that neither occurs nor is predicted.
  double intersection_over_union(std::int64_t which) const;
  /// The mean over the classes that occur or are predicted.
  double mean_intersection_over_union() const;

 private:
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const {
    return counts_[static_cast<std::size_t>(truth * classes_ + predicted)];
  }

  std::int64_t classes_;
  std::vector<std::int64_t> counts_;  // [truth, predicted]
};

/// Trains on the first `train_limit` images of `train` and judges the first `test_limit` of `test` (0: all). Class 0 is
/// the background, 1 the foreground. Throws UsageError if the encoder does not see the whole image.
Confusion dense_probe(const Encode& encode_map, const LayeredSplit& train, const LayeredSplit& test,
                      std::int64_t train_limit, std::int64_t test_limit, const ExtractSettings& extract,
                      const DenseSettings& settings, Backend& backend);

}  // namespace vergence
