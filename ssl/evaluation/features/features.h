// Extracts features: an encoder in eval mode over the un-augmented (or randomly cropped) images of a data set.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "datasets/dataset.h"
#include "engine/tensor.h"
#include "kernels/views.h"
#include "models/encoder.h"
#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// An encoder with fixed weights and running statistics: normalized f32 images [N, H, W, C] -> [N, dim], f32.
using Encode = std::function<Tensor(const Tensor& images)>;

/// Returns `encoder` in eval mode with activations in `precision`. It shares memory with the weights, so later training
/// changes its results. `statistics` must outlive it.
Encode encode_with(const Encoder& encoder, Statistics& statistics, DType precision = DType::f32);

/// The same for the last stage's feature map: images [N, H, W, C] -> [N, h, w, map_channels], f32.
Encode encode_map_with(const Encoder& encoder, Statistics& statistics, DType precision = DType::f32);

/// The same for the map at the end of a stage (EncoderNetwork::stage_map).
Encode encode_stage_with(const Encoder& encoder, Statistics& statistics, DType precision, std::int64_t stage);

struct ExtractSettings {
  std::int64_t image_size = 32;  // images of another size are resized
  std::int64_t resize = -1;   // ViewSettings::resize of un-augmented images; -1: the data set's default for evaluation
  std::int64_t channels = 3;  // as the encoder expects
  ChannelValues mean{}, std{};  // as in the encoder's training
  std::int64_t batch = 250;
  bool may_be_none = false;  // whether that no image can be read is no error
  std::int64_t workers = 0;  // threads that read the next batch's images beside the encoder; 0: all read, then it runs
  /// Called after each batch with the number of images done and the total, for progress lines. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};
};

/// Returns the view for evaluation: the un-augmented image. Throws UsageError if the images and the encoder differ in
/// channels.
ViewSettings plain_view(const Dataset& dataset, const ExtractSettings& settings);

/// Returns the evaluation images in memory, for code that changes the images themselves. Leaves out bad images. Returns
/// a data set that is already in memory unchanged.
Dataset in_memory(const Dataset& dataset, const ExtractSettings& settings);

/// Returns the images in memory as the encoder sees them: at its image size, rounded to bytes. Leaves out bad images.
Dataset as_seen(const Dataset& dataset, const ExtractSettings& settings);

/// Returns the un-augmented images at the given indices, normalized: [indices, size, size, channels]. The next good
/// image replaces a bad one.
Tensor plain_images(const Dataset& dataset, const std::vector<std::int64_t>& indices, const ExtractSettings& settings,
                    Backend& backend);

/// The features of some consecutive images, without unreadable ones.
struct FeatureBatch {
  Features features;
  std::vector<std::int64_t> images;  // their indices in the data set
  std::int64_t end = 0;              // how many of the requested images are done, with the unreadable ones
};

/// Extracts the features of the images at `indices` batch by batch: `take` receives each and returns whether to go on.
/// The values depend on `settings.batch`, never on `workers` or threads. Skips bad images where the data set allows it.
void extract_batches(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                     const ExtractSettings& settings, Backend& backend,
                     const std::function<bool(const FeatureBatch& batch)>& take);

/// Returns the features of all images of `dataset` in order, with their labels if it has any. Skips bad images where
/// the data set allows that. Uses no randomness. Throws UsageError if no image can be read.
Features extract_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                          Backend& backend);

/// The same for the images at `indices` only.
Features extract_features(const Encode& encode, const Dataset& dataset, const std::vector<std::int64_t>& indices,
                          const ExtractSettings& settings, Backend& backend);

/// The same for random views drawn from (seed, Purpose::probe, epoch): the training images of the augmented probe.
/// `settings` provides `view.size`, `view.channels`, `view.mean` and `view.std`.
Features extract_view_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                               ViewSettings view, std::uint64_t seed, std::int64_t epoch, Backend& backend);

/// Random views of labeled images, and their labels.
struct LabeledViews {
  Tensor images;  // [labels, size, size, channels]
  std::vector<std::int32_t> labels;
};

/// Returns random views of the images at `indices`, drawn as in extract_view_features. Leaves out bad images where the
/// data set allows that; throws UsageError if no image can be read.
LabeledViews labeled_views(const Dataset& dataset, const std::vector<std::int64_t>& indices,
                           const ExtractSettings& settings, const ViewSettings& view, std::uint64_t seed,
                           std::int64_t epoch, Backend& backend);

/// The augmented probe's views: only a random resized crop of 8 to 100 % of the area, and a flip.
ViewSettings probe_view();

}  // namespace vergence
