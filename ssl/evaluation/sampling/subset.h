// Lists of labeled images that anyone can draw again: a share of the labels, and the tenth that settings are chosen on.
// docs/evaluation.md has the rule.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

/// Returns `percent` % of the images of every class: of the n of a class, round(percent n / 100), halves up, at least
/// one. They are the first of that class's images after a shuffle drawn from (0, Purpose::probe, 0, class,
/// subset_stream), so a smaller share is part of a larger one. Indices into `labels`, ascending.
std::vector<std::int64_t> balanced_share(const std::vector<std::int32_t>& labels, std::int64_t percent);

/// Indices into the labels, both ascending.
struct HeldOutTenth {
  std::vector<std::int64_t> kept, held_out;
};

/// Holds out 10 % of the images of every class as in balanced_share, drawn from holdout_stream; a class's only image is
/// kept. Throws UsageError if nothing can be held out.
HeldOutTenth hold_out_tenth(const std::vector<std::int32_t>& labels);

/// The entries of `values` at these indices.
template <class Value>
std::vector<Value> values_at(const std::vector<Value>& values, const std::vector<std::int64_t>& indices) {
  std::vector<Value> chosen;
  for (const std::int64_t index : indices) chosen.push_back(values[static_cast<std::size_t>(index)]);
  return chosen;
}

/// XXH128 of the indices as 64-bit little-endian numbers: identifies a list in results.
std::string list_digest(const std::vector<std::int64_t>& indices);

}  // namespace vergence
