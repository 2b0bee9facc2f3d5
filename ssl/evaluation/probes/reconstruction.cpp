// Decodes images from frozen features.
#include "ssl/evaluation/probes/reconstruction.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/ops/ops.h"
#include "engine/tensor.h"
#include "kernels/error.h"
#include "models/decoder.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/features/streams.h"
#include "ssl/evaluation/probes/fit.h"
#include "ssl/evaluation/probes/standardize.h"

namespace vergence {
namespace {

/// Some rows of the features, standardized.
Tensor features_at(const Features& features, const std::vector<std::int64_t>& indices, const Standardization& scale,
                   Backend& backend) {
  const std::vector<float> values = scale.apply(rows_at(features, indices).values);
  return from_floats(backend, {static_cast<std::int64_t>(indices.size()), features.dim}, values);
}

void check_images(const Features& features, const Dataset& images) {
  check_features(features, "reconstruction");
  require(features.rows() == images.count, "reconstruction: ", features.rows(), " feature vectors of ", images.count,
          " images");
}

}  // namespace

void Determination::add(const std::vector<float>& values, const std::vector<float>& predicted) {
  require(values.size() == predicted.size(), "reconstruction: ", predicted.size(), " predictions of ", values.size(),
          " values");
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double value = values[i], error = value - predicted[i];
    if (count_ == 0) first_ = value;
    ++count_;
    sum_ += value - first_;
    squares_ += (value - first_) * (value - first_);
    squared_error_ += error * error;
  }
}

double Determination::variance() const { return squares_ / count_ - sum_ / count_ * (sum_ / count_); }

Determination reconstruction_of(const Features& train_features, const Dataset& train, const Features& test_features,
                                const Dataset& test, const ExtractSettings& extract,
                                const ReconstructionSettings& settings, Backend& backend) {
  check_images(train_features, train);
  check_images(test_features, test);
  require_usage(train.count > 1, "reconstruction: there is one training image, expected at least two");
  Decoder decoder = make_decoder({.features = train_features.dim,
                                  .image_size = extract.image_size,
                                  .width = settings.width,
                                  .image_channels = extract.channels},
                                 {backend, settings.seed});
  const Standardization scale(train_features.values, train_features.dim);
  Statistics running;
  FitSettings fitting = adam_fit(settings.epochs, settings.lr, settings.final_lr);
  fitting.batch = settings.batch;
  fitting.min_rows = 2;  // one image has no batch statistics
  fitting.seed = settings.seed;
  fitting.stream = decoder_stream;
  Fit fit(ParameterSet(parameters_of(decoder)), fitting);
  const auto loss = [&](const std::vector<std::int32_t>& rows) {
    const std::vector<std::int64_t> chosen(rows.begin(), rows.end());
    const Tensor images = plain_images(train, chosen, extract, backend);
    return mean(square(images - decoder(features_at(train_features, chosen, scale, backend), {.running = &running})));
  };
  for (std::int64_t epoch = 0; epoch < settings.epochs; ++epoch) fit.epoch(epoch, train.count, loss);
  Determination result;
  for (std::int64_t begin = 0; begin < test.count; begin += extract.batch) {
    std::vector<std::int64_t> chosen(static_cast<std::size_t>(std::min(extract.batch, test.count - begin)));
    std::iota(chosen.begin(), chosen.end(), begin);
    const Tensor decoded =
        decoder(features_at(test_features, chosen, scale, backend), {.training = false, .running = &running});
    result.add(plain_images(test, chosen, extract, backend).floats(), decoded.detached().floats());
  }
  return result;
}

}  // namespace vergence
