// An encoder's learned mask: one factor per feature (MetaMask: Li et al., NeurIPS 2022), applied before features are
// compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/evaluation/features/matrix.h"

namespace vergence {

struct FeatureMask {
  std::vector<float> factors;
  std::string step;  // after how many training steps; empty: unknown
};

/// Reads the tensor "mask", F32 [dim], from a safetensors file. Throws UsageError if the file or the tensor is missing
/// or damaged, has another type or length, or holds a value that is not finite.
FeatureMask read_feature_mask(const std::string& path, std::int64_t dim);

/// Writes such a file; replaces an old one atomically.
void write_feature_mask(const std::string& path, const FeatureMask& mask);

/// Returns the features times the mask.
Features masked(Features features, const std::vector<float>& mask);

}  // namespace vergence
