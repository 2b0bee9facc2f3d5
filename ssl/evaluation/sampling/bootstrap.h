// Intervals of accuracies from resampling the judged images (Efron and Tibshirani, "An introduction to the bootstrap",
// 1993, chapter 13: percentile intervals).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace vergence {

/// Bounds in percent.
struct Interval {
  double low = 0, high = 0;

  /// "44.10 to 46.02".
  std::string text() const;
  /// [low, high] with two decimals.
  nlohmann::ordered_json json() const;
};

inline constexpr std::int64_t bootstrap_resamples = 1000;

/// Returns the 95 % interval of the share of predictions that equal their labels: the 2.5th and 97.5th percentiles,
/// with linear interpolation, of that share in 1,000 resamples. Resample r draws as many images as there are, with
/// replacement, from (seed, Purpose::probe, 0, r, bootstrap_stream). The sizes must be equal and above 0.
Interval bootstrap_interval(const std::vector<std::int32_t>& predicted, const std::vector<std::int32_t>& labels,
                            std::uint64_t seed);

}  // namespace vergence
