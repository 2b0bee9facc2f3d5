#include "ssl/evaluation/sampling/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {
namespace {

/// Between the two nearest of the sorted values.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::string Interval::text() const {
  char shown[64];
  std::snprintf(shown, sizeof shown, "%.2f to %.2f", low, high);
  return shown;
}

nlohmann::ordered_json Interval::json() const { return {std::round(low * 100) / 100, std::round(high * 100) / 100}; }

Interval bootstrap_interval(const std::vector<std::int32_t>& predicted, const std::vector<std::int32_t>& labels,
                            std::uint64_t seed) {
  require(!labels.empty() && predicted.size() == labels.size(), "bootstrap: ", predicted.size(), " predictions of ",
          labels.size(), " images");
  std::vector<char> hits(labels.size());
  for (std::size_t i = 0; i < hits.size(); ++i) hits[i] = predicted[i] == labels[i];
  const auto count = static_cast<std::uint32_t>(hits.size());
  std::vector<double> shares(static_cast<std::size_t>(bootstrap_resamples));
  parallel_for(bootstrap_resamples, 8, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      Random random(seed, Purpose::probe, 0, static_cast<std::uint64_t>(r), bootstrap_stream);
      std::int64_t total = 0;
      for (std::uint32_t i = 0; i < count; ++i) total += hits[random.below(count)];
      shares[static_cast<std::size_t>(r)] = 100.0 * static_cast<double>(total) / count;
    }
  });
  std::sort(shares.begin(), shares.end());
  return {percentile(shares, 0.025), percentile(shares, 0.975)};
}

}  // namespace vergence
