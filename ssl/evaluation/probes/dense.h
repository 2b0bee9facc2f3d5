// Dense probe: does the feature map say where the object is? A 1x1 convolution on the frozen last feature map, enlarged
// to the image, tells foreground from background pixel by pixel. Layered images have exact masks.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/shapes/layered_images.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"

namespace vergence {

/// Feature maps with the class of every pixel of the images they are of.
struct LabeledMaps {
  std::int64_t images = 0, height = 0, width = 0, dim = 0;  // of the feature maps
  std::int64_t size = 0;                                    // height and width of the images
  std::int64_t classes = 0;
  std::vector<float> values;         // [images, height, width, dim]
  std::vector<std::int32_t> labels;  // [images, size, size], in [0, classes)
};

/// How a row of `from` values is enlarged to `to`: [to, from]. Bilinear, pixels as areas (half-pixel centers), the edge
/// repeated: PyTorch's interpolate without align_corners.
std::vector<double> bilinear_weights(std::int64_t from, std::int64_t to);

/// The defaults are those of `evaluate`: Adam on standardized maps, the rate falling exponentially.
struct DenseSettings {
  std::int64_t epochs = 30, batch = 50;  // images
  double lr = 1e-2, final_lr = 1e-4;
  std::uint64_t seed = 1;  // of the order of the images; the first weights are zero
};

/// Minimizes the mean over pixels of the cross-entropy of logits that are computed on the map and then enlarged.
LinearClassifier train_dense(const LabeledMaps& train, const DenseSettings& settings, Backend& backend);

/// The most likely class of every pixel, [images, size, size]; of equal logits the smaller class.
std::vector<std::int32_t> predict_pixels(const LinearClassifier& classifier, const LabeledMaps& maps, Backend& backend);

/// Counts of pixels by class and prediction, over as many images as are added.
class Confusion {
 public:
  explicit Confusion(std::int64_t classes) : classes_(classes), counts_(static_cast<std::size_t>(classes * classes)) {}

  void add(const std::vector<std::int32_t>& predicted, const std::vector<std::int32_t>& truth);
  /// Per cent: hits / (hits + misses + false alarms). NaN for a class that is neither there nor predicted.
  double intersection_over_union(std::int64_t which) const;
  /// Its mean over the classes that are there or predicted.
  double mean_intersection_over_union() const;

 private:
  std::int64_t count(std::int64_t truth, std::int64_t predicted) const {
    return counts_[static_cast<std::size_t>(truth * classes_ + predicted)];
  }

  std::int64_t classes_;
  std::vector<std::int64_t> counts_;  // [truth, predicted]
};

/// Background is class 0, foreground class 1. `encode_map` gives maps, see encode_map_with. Fits on the first
/// `train_limit` images of `train` and judges on the first `test_limit` of `test` (0: all). Throws UsageError where the
/// encoder would not see the whole image.
Confusion dense_probe(const Encode& encode_map, const LayeredSplit& train, const LayeredSplit& test,
                      std::int64_t train_limit, std::int64_t test_limit, const ExtractSettings& extract,
                      const DenseSettings& settings, Backend& backend);

}  // namespace vergence
