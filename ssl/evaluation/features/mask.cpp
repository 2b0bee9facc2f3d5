// Reading and applying a feature mask.
#include "ssl/evaluation/features/mask.h"

#include <cmath>
#include <cstring>

#include "engine/io/safetensors.h"
#include "kernels/error.h"

namespace vergence {

FeatureMask read_feature_mask(const std::string& path, std::int64_t dim) {
  const SafetensorsFile file(path);
  const TensorEntry& entry = file.at("mask", "F32", {dim});
  FeatureMask mask{std::vector<float>(static_cast<std::size_t>(dim)), ""};
  if (const auto step = file.metadata().find("step"); step != file.metadata().end()) mask.step = step->second;
  std::memcpy(mask.factors.data(), entry.data, static_cast<std::size_t>(entry.bytes));
  for (std::size_t i = 0; i < mask.factors.size(); ++i)
    require_usage(std::isfinite(mask.factors[i]), path, ": mask: value ", i, " is not a finite number");
  return mask;
}

void write_feature_mask(const std::string& path, const FeatureMask& mask) {
  const auto size = static_cast<std::int64_t>(mask.factors.size());
  const Metadata about = mask.step.empty() ? Metadata{} : Metadata{{"step", mask.step}};
  write_safetensors(path, {{"mask", "F32", {size}, reinterpret_cast<const std::byte*>(mask.factors.data()), 4 * size}},
                    about);
}

Features masked(Features features, const std::vector<float>& mask) {
  require(static_cast<std::int64_t>(mask.size()) == features.dim, "mask: ", mask.size(), " factors for ", features.dim,
          " features");
  for (std::size_t i = 0; i < features.values.size(); ++i) features.values[i] *= mask[i % mask.size()];
  return features;
}

}  // namespace vergence
