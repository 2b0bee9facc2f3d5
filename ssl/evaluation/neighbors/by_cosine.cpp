#include "ssl/evaluation/neighbors/by_cosine.h"

#include <algorithm>

#include "kernels/error.h"

namespace vergence {
namespace {

/// Adds the nearest rows of a block, whose first has the number `first`, to those of the blocks before.
void add_block(const Features& block, std::int64_t first, const Features& queries, std::int64_t k, Backend& backend,
               std::vector<std::vector<Neighbor>>& nearest) {
  check_features(block, "neighbors");
  const KnnBlocks sizes;
  NeighborSearch search(block, queries, {{Distance::cosine, std::min(k, block.rows())}}, backend, sizes);
  for (std::int64_t begin = 0; begin < queries.rows(); begin += sizes.queries) {
    const std::int64_t count = std::min(sizes.queries, queries.rows() - begin);
    const std::vector<std::vector<Neighbor>> found = search.find(begin, count)[0];
    for (std::int64_t i = 0; i < count; ++i) {
      std::vector<Neighbor>& list = nearest[static_cast<std::size_t>(begin + i)];
      for (const Neighbor& neighbor : found[static_cast<std::size_t>(i)])
        list.push_back({neighbor.distance, static_cast<std::int32_t>(first + neighbor.row)});
      std::sort(list.begin(), list.end());
      list.resize(std::min(list.size(), static_cast<std::size_t>(k)));
    }
  }
}

}  // namespace

std::vector<std::vector<Neighbor>> nearest_by_cosine(const FeatureBlocks& bank, const Features& queries, std::int64_t k,
                                                     Backend& backend) {
  check_features(queries, "neighbors");
  require_usage(bank.dim == queries.dim && k >= 1 && k <= bank.rows, "neighbors: expected 1 to ", bank.rows,
                " of as many features");
  require_usage(bank.rows <= INT32_MAX, "neighbors: ", bank.rows, " rows, expected at most ", INT32_MAX);
  std::vector<std::vector<Neighbor>> nearest(static_cast<std::size_t>(queries.rows()));
  for (std::int64_t begin = 0; begin < bank.rows; begin += bank.block)
    add_block(bank.read(begin, std::min(bank.block, bank.rows - begin)), begin, queries, k, backend, nearest);
  return nearest;
}

std::vector<std::vector<Neighbor>> nearest_by_cosine(const Features& bank, const Features& queries, std::int64_t k,
                                                     Backend& backend) {
  check_features(queries, "neighbors");
  require_usage(bank.dim == queries.dim && k >= 1 && k <= bank.rows(), "neighbors: expected 1 to ", bank.rows(),
                " of as many features");
  std::vector<std::vector<Neighbor>> nearest(static_cast<std::size_t>(queries.rows()));
  add_block(bank, 0, queries, k, backend, nearest);
  return nearest;
}

}  // namespace vergence
