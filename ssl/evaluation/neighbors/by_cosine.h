// Finds the rows of a bank with the largest cosine similarity to each query. The bank may be larger than memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/nearest.h"

namespace vergence {

/// The cosine of a neighbor by Distance::cosine with its query.
inline double cosine_of(const Neighbor& neighbor) { return 1 - neighbor.distance / 2; }

/// The k rows of the bank with the largest cosine, nearest first, for each query; the earlier of equal rows comes
/// first. Throws UsageError unless both have finite rows of one length and the bank has k.
std::vector<std::vector<Neighbor>> nearest_by_cosine(const Features& bank, const Features& queries, std::int64_t k,
                                                     Backend& backend);

/// A bank that is read in blocks.
struct FeatureBlocks {
  std::int64_t rows = 0;  // below 2^31
  std::int64_t dim = 0;
  std::int64_t block = 16384;  // rows read at once; does not affect the result
  std::function<Features(std::int64_t begin, std::int64_t count)> read;
};

/// The same for such a bank, which is read once.
std::vector<std::vector<Neighbor>> nearest_by_cosine(const FeatureBlocks& bank, const Features& queries, std::int64_t k,
                                                     Backend& backend);

}  // namespace vergence
