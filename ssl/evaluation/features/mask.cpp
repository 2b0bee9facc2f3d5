// Reading and applying a feature mask.
#include "ssl/evaluation/features/mask.h"

#include <cmath>
#include <cstring>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace vergence {

std::vector<float> read_feature_mask(const std::string& path, std::int64_t dim) {
  const SafetensorsFile file(path);
  const TensorEntry& entry = file.at("mask", "F32", {dim});
  std::vector<float> mask(static_cast<std::size_t>(dim));
  std::memcpy(mask.data(), entry.data, static_cast<std::size_t>(entry.bytes));
  for (std::size_t i = 0; i < mask.size(); ++i)
    require_usage(std::isfinite(mask[i]), path, ": mask: value ", i, " is not a finite number");
  return mask;
}

void write_feature_mask(const std::string& path, const std::vector<float>& mask) {
  const auto size = static_cast<std::int64_t>(mask.size());
  write_safetensors(path, {{"mask", "F32", {size}, reinterpret_cast<const std::byte*>(mask.data()), 4 * size}});
}

Features masked(Features features, const std::vector<float>& mask) {
  require(static_cast<std::int64_t>(mask.size()) == features.dim, "mask: ", mask.size(), " factors for ", features.dim,
          " features");
  for (std::size_t i = 0; i < features.values.size(); ++i) features.values[i] *= mask[i % mask.size()];
  return features;
}

}  // namespace vergence
