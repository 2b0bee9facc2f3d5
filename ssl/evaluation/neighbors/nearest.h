// Finds the nearest rows of a bank of features exactly, in the order of the distances in distances.h, whatever device
// computes the products and however far the features are from the origin.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"
#include "kernels/backend.h"
#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/bounds.h"
#include "ssl/evaluation/neighbors/distances.h"

namespace vergence {

struct Neighbor {
  double distance = 0;  // squared_distance or squared_chord
  std::int32_t row = 0;

  /// "Comes before": the earlier of equally near rows.
  bool operator<(const Neighbor& other) const {
    return distance != other.distance ? distance < other.distance : row < other.row;
  }
};

/// Block sizes; they do not affect the result. Memory is about 4 * queries * bank bytes besides the features.
struct KnnBlocks {
  std::int64_t queries = 256, bank = 65536;
};

struct WantedNeighbors {
  Distance distance = Distance::cosine;
  std::int64_t k = 1;  // at most the number of bank rows
};

/// One matrix product serves all `wanted` lists. Its bounds (bounds.h) leave few rows for f64 distances, unless
/// neighbors are closer together than about 1e-5 times the spread of the bank; then up to all rows need them.
class NeighborSearch {
 public:
  /// `bank` and `query` must be checked (check_features), have the same row length, and outlive this object.
  NeighborSearch(const Features& bank, const Features& query, std::vector<WantedNeighbors> wanted, Backend& backend,
                 const KnnBlocks& blocks = {});

  /// Returns the neighbors of queries begin ... begin + count - 1, nearest first: [wanted][count][k].
  std::vector<std::vector<std::vector<Neighbor>>> find(std::int64_t begin, std::int64_t count);

 private:
  class Shortlist;
  using Shortlists = std::vector<std::vector<Shortlist>>;  // [wanted][count]

  double distance(std::size_t form, std::int64_t query, std::int32_t row) const;
  void offer_block(std::int64_t begin, std::int64_t count, std::int64_t first, std::int64_t width, Shortlists& lists);
  void offer_rows(std::size_t form, std::int64_t query, const float* products, std::int64_t first, std::int64_t count,
                  Shortlist& list) const;

  const Features &bank_, &query_;
  std::vector<WantedNeighbors> wanted_;
  Backend& backend_;
  std::vector<double> bank_lengths_, query_lengths_;
  CenteredFrame frame_;
  std::vector<DistanceBounds> bounds_;  // one per wanted list
  Tensors bank_blocks_;                 // centered; uploaded once, not for each block of queries
  std::vector<float> products_;
};

}  // namespace vergence
