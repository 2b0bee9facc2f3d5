// A learned factor per feature that belongs to an encoder (MetaMask: Li et al., NeurIPS 2022), applied before features
// are compared.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// The tensor "mask", F32 [dim], of a safetensors file. Throws UsageError if the file or the tensor is missing or
/// damaged, has another type or length, or holds a value that is not finite.
std::vector<float> read_feature_mask(const std::string& path, std::int64_t dim);

/// Such a file, replaced in one step.
void write_feature_mask(const std::string& path, const std::vector<float>& mask);

/// The features times the mask.
Features masked(Features features, const std::vector<float>& mask);

}  // namespace vergence
