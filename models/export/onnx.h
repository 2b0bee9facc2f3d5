// Encoders as ONNX files (https://onnx.ai), which many programs run.
#pragma once

#include <string>

#include "models/export/exported.h"

namespace vergence {

struct OnnxSettings {
  bool normalize = false;  // the graph takes images with values in [0, 1] and begins with (image - mean) / std
};

/// The bytes of an ONNX file, opset 17: `image` [batch, channels, size, size] -> `features` [batch, dim], both f32, for
/// any batch size. Batch norms are folded into the convolutions. The file's metadata are the encoder's, with `mean` and
/// `std` as JSON lists, and `input`, which says what values the graph takes. The same encoder gives the same bytes.
/// Throws UsageError for a family that does not describe its network, a file above ONNX's limit of 2 GiB, and
/// `normalize` without mean and std.
std::string onnx_model(const Exported& exported, const OnnxSettings& settings = {});

}  // namespace vergence
