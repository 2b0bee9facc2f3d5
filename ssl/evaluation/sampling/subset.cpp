#include "ssl/evaluation/sampling/subset.h"

#include <algorithm>
#include <map>

#include "engine/io/xxh.h"
#include "kernels/draws.h"
#include "kernels/error.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {
namespace {

using Indices = std::vector<std::int64_t>;

/// The images of each class in random order.
std::map<std::int32_t, Indices> shuffled_classes(const std::vector<std::int32_t>& labels, std::uint32_t stream) {
  std::map<std::int32_t, Indices> classes;
  for (std::size_t i = 0; i < labels.size(); ++i) classes[labels[i]].push_back(static_cast<std::int64_t>(i));
  for (auto& [label, images] : classes) {
    Random random(0, Purpose::probe, 0, static_cast<std::uint64_t>(label), stream);
    shuffle(images, random);
  }
  return classes;
}

std::int64_t share_of(const Indices& images, std::int64_t percent) {
  return std::max<std::int64_t>(1, (percent * static_cast<std::int64_t>(images.size()) + 50) / 100);
}

}  // namespace

std::vector<std::int64_t> balanced_share(const std::vector<std::int32_t>& labels, std::int64_t percent) {
  require(percent >= 1 && percent <= 100, "balanced share: ", percent, " %, expected 1 to 100");
  Indices chosen;
  for (const auto& [label, images] : shuffled_classes(labels, subset_stream))
    chosen.insert(chosen.end(), images.begin(), images.begin() + share_of(images, percent));
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

HeldOutTenth hold_out_tenth(const std::vector<std::int32_t>& labels) {
  HeldOutTenth result;
  for (const auto& [label, images] : shuffled_classes(labels, holdout_stream)) {
    const auto count = static_cast<std::int64_t>(images.size());
    const auto middle = images.begin() + std::min(share_of(images, 10), count - 1);
    result.held_out.insert(result.held_out.end(), images.begin(), middle);
    result.kept.insert(result.kept.end(), middle, images.end());
  }
  require_usage(!result.held_out.empty(), "no tenth of the ", labels.size(),
                " training images can be held out, expected a class with two or more");
  std::sort(result.held_out.begin(), result.held_out.end());
  std::sort(result.kept.begin(), result.kept.end());
  return result;
}

std::string list_digest(const std::vector<std::int64_t>& indices) {
  Xxh128 hash;
  for (const std::int64_t index : indices) hash.add_number(index);
  return hash.digits();
}

}  // namespace vergence
