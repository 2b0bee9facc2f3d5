// Which of an encoder's outputs to keep for an image.
#pragma once

#include <string>
#include <vector>

#include "ssl/evaluation/subject.h"

namespace vergence {

/// "features", what the encoder gives; "stage1" ... the mean over the pixels of each stage's map; "map", all values of
/// the last map, pixel by pixel.
std::vector<std::string> layer_names(const Encoder& encoder);

/// The subject's encoder up to this layer: images [N, H, W, C] -> [N, dim], f32. The subject must outlive it. Throws
/// UsageError for a layer that it has not, listing those it has.
Encode encode_layer(Subject& subject, const std::string& layer);

/// The length of this layer's rows.
std::int64_t layer_dim(Subject& subject, const std::string& layer);

}  // namespace vergence
