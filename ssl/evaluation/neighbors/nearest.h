// The nearest rows of a bank of features, exactly: as the distances of distances.h order them, whatever device computes
// the products and however far from the origin the features lie.
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

  /// "Comes before": of equally near rows the earlier one.
  bool operator<(const Neighbor& other) const {
    return distance != other.distance ? distance < other.distance : row < other.row;
  }
};

/// How much is compared at a time: memory is about 4 * queries * bank bytes beside the features. No effect on the
/// result.
struct KnnBlocks {
  std::int64_t queries = 256, bank = 65536;
};

struct WantedNeighbors {
  Distance distance = Distance::cosine;
  std::int64_t k = 1;  // at most as many as the bank has rows
};

/// One matrix product serves all that is wanted. Its bounds (bounds.h) leave few rows to be measured in f64
/// where neighbors are not much closer together than the spread of the bank times 1e-5; where they are, up to all.
class NeighborSearch {
 public:
  /// `bank` and `query` must be checked (check_features), have as many values in a row, and outlive this.
  NeighborSearch(const Features& bank, const Features& query, std::vector<WantedNeighbors> wanted, Backend& backend,
                 const KnnBlocks& blocks = {});

  /// The neighbors of queries begin ... begin + count - 1, nearest first: [wanted][count][k].
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
  std::vector<DistanceBounds> bounds_;  // of each that is wanted
  Tensors bank_blocks_;                 // centered; uploaded once, not once per block of queries
  std::vector<float> products_;
};

}  // namespace vergence
