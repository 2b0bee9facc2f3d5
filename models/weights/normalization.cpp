#include "models/weights/normalization.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/error.h"
#include "models/encoder_file.h"

namespace vergence {
namespace {

std::optional<ChannelValues> entry_values(const Metadata& metadata, const std::string& key, std::int64_t channels) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? std::nullopt : channel_values(found->second, channels);
}

}  // namespace

std::optional<ChannelValues> channel_values(std::string_view entry, std::int64_t channels) {
  if (entry.starts_with('[') != entry.ends_with(']')) return {};
  if (entry.starts_with('[')) entry = entry.substr(1, entry.size() - 2);
  ChannelValues values{};
  const char *at = entry.data(), *end = at + entry.size();
  for (std::size_t i = 0; i < static_cast<std::size_t>(channels); ++i) {
    while (at != end && (*at == ' ' || (i > 0 && *at == ','))) ++at;
    const auto [next, error] = std::from_chars(at, end, values[i]);
    if (error != std::errc() || !std::isfinite(values[i])) return {};
    at = next;
  }
  return at == end ? std::optional(values) : std::nullopt;
}

std::string other_normalization(const Metadata& metadata, const ViewSettings& view) {
  const std::int64_t channels = view.channels;
  const std::optional<ChannelValues> mean = entry_values(metadata, "mean", channels),
                                     std = entry_values(metadata, "std", channels);
  const auto same = [channels](const ChannelValues& one, const ChannelValues& other) {
    return std::equal(one.begin(), one.begin() + channels, other.begin());
  };
  if (!mean || !std || (same(*mean, view.mean) && same(*std, view.std))) return "";
  const auto described = [channels](const ChannelValues& means, const ChannelValues& deviations) {
    return join("--mean ", channels_text(means, channels, ","), " and --std ",
                channels_text(deviations, channels, ","));
  };
  return join("the file's images had ", described(*mean, *std), ", this run's have ", described(view.mean, view.std));
}

}  // namespace vergence
