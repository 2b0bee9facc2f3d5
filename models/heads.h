// Projection and prediction heads: multilayer perceptrons with optional batch norm. Always in master precision.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/layers.h"

namespace vergence {

/// What stands behind the last linear layer.
enum class LastNorm { none, affine, plain /* batch norm without scale and shift */ };

/// Linear, [batch norm], ReLU for each layer but the last; Linear, [batch norm] for the last.
///
/// Names are those of a PyTorch Sequential called `name`: with hidden batch norm "projector.0" (linear), "projector.1"
/// (batch norm), "projector.3" (linear) ...; without it "projector.0", "projector.2" ... A ReLU takes a number too.
struct MlpSettings {
  std::string name = "projector";
  std::vector<std::int64_t> sizes;  // input, hidden ..., output: one more than there are layers
  bool hidden_norm = false;
  bool hidden_bias = true;
  LastNorm last_norm = LastNorm::none;
  bool last_bias = true;
};

struct Mlp {
  MlpSettings settings;
  std::vector<Linear> linears;
  std::vector<Norm> norms;  // one per layer; an affine-free one has no tensors, an absent one no name

  void each(const Visit& visit, const std::string& prefix = "");
  /// x [N, in] -> [N, out]. Batch norm by the pass's mode, groups and running statistics.
  Tensor operator()(const Tensor& x, const Pass& pass) const;
  std::int64_t parameters() const;
  /// Multiply-adds times two of one forward pass over `rows` rows.
  double flops(std::int64_t rows) const;
};

/// A head with PyTorch's default initial weights, keyed by seed and name. Throws UsageError for fewer than two sizes or
/// one below 1.
Mlp make_mlp(const MlpSettings& settings, const Init& init);

}  // namespace vergence
