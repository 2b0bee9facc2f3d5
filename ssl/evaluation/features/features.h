// From images to features: an encoder in eval mode over the un-augmented (or randomly cropped) images of a data set.
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

/// `encoder` in eval mode, its activations in `precision`. The result shares the weights' memory, so training on shows;
/// `statistics` must outlive it.
Encode encode_with(const Encoder& encoder, Statistics& statistics, DType precision = DType::f32);

/// The same, but the last stage's feature map: images [N, H, W, C] -> [N, h, w, map_channels], f32.
Encode encode_map_with(const Encoder& encoder, Statistics& statistics, DType precision = DType::f32);

struct ExtractSettings {
  std::int64_t image_size = 32;  // images of another size are resized
  std::int64_t resize = -1;      // ViewSettings::resize of un-augmented images; -1: as the data set's evaluation
  std::int64_t channels = 3;     // that the encoder takes
  ChannelValues mean{}, std{};   // as the encoder was trained
  std::int64_t batch = 250;
  /// Called after each batch with the images that are done and those there are; for progress lines. May be empty.
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};
};

/// The view of evaluation: the un-augmented image. Throws UsageError for images of other channels than the encoder's.
ViewSettings plain_view(const Dataset& dataset, const ExtractSettings& settings);

/// The images as evaluation sees them, in memory: for what changes the images themselves. A data set that lies in
/// memory is returned as it is; bad images are left out.
Dataset in_memory(const Dataset& dataset, const ExtractSettings& settings);

/// The images in memory as the encoder sees them, at the size it takes, rounded to bytes; bad images are left out.
Dataset as_seen(const Dataset& dataset, const ExtractSettings& settings);

/// The un-augmented images of the given places in the data set, normalized: [indices, size, size, channels]. A bad
/// image's place is taken by the next.
Tensor plain_images(const Dataset& dataset, const std::vector<std::int64_t>& indices, const ExtractSettings& settings,
                    Backend& backend);

/// The features of every image of `dataset` in its order, with its labels if it has any; where bad images are skipped,
/// without them. Nothing random. Throws UsageError if there are no images that can be read.
Features extract_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                          Backend& backend);

/// The same of random views drawn from (seed, Purpose::probe, epoch): the training images of the augmented probe.
/// `view.size`, `view.channels`, `view.mean` and `view.std` are taken from `settings`.
Features extract_view_features(const Encode& encode, const Dataset& dataset, const ExtractSettings& settings,
                               ViewSettings view, std::uint64_t seed, std::int64_t epoch, Backend& backend);

/// The augmented probe's views: a random resized crop of 8 to 100 % of the area and a flip, nothing else.
ViewSettings probe_view();

}  // namespace vergence
