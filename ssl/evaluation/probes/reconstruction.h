// How much of an image its features still hold: a decoder trained on frozen features, the same for every encoder.
#pragma once

#include <cstdint>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"

namespace vergence {

struct ReconstructionSettings {
  std::int64_t width = 16;  // of the decoder, see DecoderSettings
  std::int64_t epochs = 30, batch = 50;
  double lr = 3e-3, final_lr = 3e-5;  // Adam, falling exponentially
  std::uint64_t seed = 1;             // of the decoder's weights and the order of the images
};

/// How far a prediction is from the values, over as many as are added.
class Determination {
 public:
  void add(const std::vector<float>& values, const std::vector<float>& predicted);
  double mean_squared_error() const { return squared_error_ / count_; }
  /// Of the values around their one mean.
  double variance() const;
  /// 1 - error / variance: 1 is perfect, 0 as good as the mean, below 0 worse.
  double r_squared() const { return 1 - mean_squared_error() / variance(); }

 private:
  double count_ = 0, sum_ = 0, squares_ = 0, squared_error_ = 0;
};

/// Trains a decoder from the standardized `train_features` to the normalized images of `train` and measures it on
/// `test`, all images un-augmented. Row i of the features belongs to image i. Throws UsageError if the decoder has no
/// form for the size.
Determination reconstruction_of(const Features& train_features, const Dataset& train, const Features& test_features,
                                const Dataset& test, const ExtractSettings& extract,
                                const ReconstructionSettings& settings, Backend& backend);

}  // namespace vergence
