// Measures how well two partitions of the same items agree, whatever the groups are called.
#pragma once

#include <cstdint>
#include <vector>

namespace vergence {

/// Returns a distinct column for each row such that the sum of cost[row, column] is minimal. `cost` is [size, size],
/// row-major, of finite numbers. Exact, O(size^3): the Hungarian method with shortest augmenting paths (Kuhn 1955;
/// Jonker, Volgenant 1987).
std::vector<std::int32_t> cheapest_assignment(const std::vector<double>& cost, std::int64_t size);

struct Agreement {
  double accuracy =
      0;  // percent of items whose group maps to their class under the best one-to-one mapping of groups to classes
  /// Mutual information over the arithmetic mean of both entropies: 0 to 1. 1 if both have only one group.
  double nmi = 0;
  /// Adjusted Rand index (Hubert, Arabie, "Comparing partitions", Journal of Classification 1985): 1 for equal
  /// partitions, 0 expected by chance, may be negative.
  double ari = 0;
};

/// `groups` and `classes` hold one number per item, in the same order, each in [0, `largest`). Throws Error if they are
/// empty, of unequal length, or out of range.
Agreement agreement_of(const std::vector<std::int32_t>& groups, const std::vector<std::int32_t>& classes,
                       std::int64_t largest);

}  // namespace vergence
