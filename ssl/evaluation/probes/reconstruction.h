// How much of an image its features retain: a decoder trained on frozen features, the same for every encoder.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"

namespace vergence {

struct ReconstructionSettings {
  std::int64_t width = 16;  // of the decoder, see DecoderSettings
  std::int64_t epochs = 30, batch = 50;
  double lr = 3e-3, final_lr = 3e-5;  // Adam, exponential decay
  std::uint64_t seed = 1;             // for the decoder's weights and the order of the images
};

/// The error of predictions relative to the variance of the true values, over all added values.
class Determination {
 public:
  void add(const std::vector<float>& values, const std::vector<float>& predicted);
  double mean_squared_error() const { return squared_error_ / count_; }
  /// The variance of the values around their overall mean; exactly 0 if they are equal.
  double variance() const;
  /// 1 - error / variance: 1 is perfect, 0 is as good as the mean, below 0 is worse.
  double r_squared() const { return 1 - mean_squared_error() / variance(); }

 private:
  double count_ = 0, first_ = 0, squared_error_ = 0;
  double sum_ = 0, squares_ = 0;  // of the differences from the first value, so that nothing cancels
};

/// Trains a decoder from standardized features (row i: image i) to the normalized un-augmented images of `train`, and
/// measures it on `test`. Throws UsageError if the decoder does not support the image size.
Determination reconstruction_of(const Features& train_features, const Dataset& train, const Features& test_features,
                                const Dataset& test, const ExtractSettings& extract,
                                const ReconstructionSettings& settings, Backend& backend);

}  // namespace vergence
