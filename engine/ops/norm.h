// What the backward pass of a batch norm leaves to the kernel that computes its cotangent: to cut that off where the
// fused ReLU did, and to gather the two sums per channel that the pass begins with.
#pragma once

#include <optional>

#include "engine/tensor.h"

namespace vergence {

struct ReluNorm {
  NormShape shape;
  Tensor x, positive, mean;  // its input, the bits of its mask, its means (groups, channels)
};

/// The batch norm that `node` (or null) stands for, if it has a fused ReLU whose mask the device keeps as bits.
std::optional<ReluNorm> relu_norm_of(const Node* node);

}  // namespace vergence
