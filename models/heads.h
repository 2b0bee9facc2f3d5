// Projection and prediction heads: multilayer perceptrons with optional batch norm. Always in master precision.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/layers.h"

namespace vergence {

/// The norm after the last linear layer.
enum class LastNorm { none, affine, plain /* batch norm without scale and shift */ };

/// Linear, [batch norm], ReLU per layer; the last has no ReLU. Names are those of a PyTorch Sequential `name`, where
/// ReLUs count: "projector.0", "projector.1" (batch norm), "projector.3"; without batch norm "projector.0",
/// "projector.2".
struct MlpSettings {
  std::string name = "projector";
  std::vector<std::int64_t> sizes;  // input, hidden ..., output: one more than layers
  bool hidden_norm = false;
  bool hidden_bias = true;
  LastNorm last_norm = LastNorm::none;
  bool last_bias = true;
};

struct Mlp {
  MlpSettings settings;
  std::vector<Linear> linears;
  std::vector<BatchNorm> norms;  // one per layer; without affine part no tensors, without norm no name

  void each(const Visit& visit, const std::string& prefix = "");
  /// x [N, in] -> [N, out]. Batch norm follows the pass's mode, groups and running statistics.
  Tensor operator()(const Tensor& x, const ForwardMode& pass) const;
  std::int64_t parameters() const;
  /// FLOPs of one forward pass over `rows` rows: multiply-adds times two.
  double flops(std::int64_t rows) const;
};

/// A head with PyTorch's default initial weights, keyed by seed and name. Throws UsageError for fewer than two sizes or
/// a size below 1.
Mlp make_mlp(const MlpSettings& settings, const Init& init);

}  // namespace vergence
