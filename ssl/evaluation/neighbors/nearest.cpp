// Compares blocks of queries with blocks of the bank, with one matrix product per pair of blocks. Each query keeps a
// short list of the rows that may be among its nearest by their bounds; their distances are computed at the end, or
// earlier if the list gets long.
#include "ssl/evaluation/neighbors/nearest.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/ops/ops.h"
#include "kernels/parallel.h"

namespace vergence {
namespace {

constexpr float no_limit = std::numeric_limits<float>::infinity();

std::vector<double> lengths_of(const Features& features) {
  std::vector<double> result(static_cast<std::size_t>(features.rows()));
  parallel_for(features.rows(), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      result[static_cast<std::size_t>(i)] = length_of(features.row(i), features.dim);
  });
  return result;
}

Tensor centered_block(const Features& features, const CenteredFrame& frame, std::int64_t begin, std::int64_t count,
                      Backend& backend) {
  std::vector<float> values(static_cast<std::size_t>(count * features.dim));
  parallel_for(count, 64, [&](std::int64_t low, std::int64_t high) {
    for (std::int64_t i = low; i < high; ++i)
      frame.center_row(features.row(begin + i), values.data() + i * features.dim);
  });
  return from_floats(backend, {count, features.dim}, values);
}

}  // namespace

/// The candidates of one query: measured rows, of which the k nearest stay, and rows with only bounds.
class NeighborSearch::Shortlist {
 public:
  Shortlist(std::int64_t k, const DistanceBounds::Query& query) : query_(query), k_(static_cast<std::size_t>(k)) {}

  const DistanceBounds::Query& query() const { return query_; }
  /// A candidate's lower bound must not exceed this.
  float limit() const { return limit_; }

  template <class Measure>
  void add(float lower, float upper, std::int32_t row, const Measure& measure) {
    waiting_.push_back({lower, upper, row});
    if (waiting_.size() < 2 * k_ + max_spare) return;
    drop_far();
    if (waiting_.size() > k_ + max_spare / 2) measure_waiting(measure);
  }
  /// The k nearest, nearest first.
  template <class Measure>
  std::vector<Neighbor> finish(const Measure& measure) {
    drop_far();
    measure_waiting(measure);
    std::sort(measured_.begin(), measured_.end());
    return std::move(measured_);
  }

 private:
  static constexpr std::size_t max_spare = 512;
  struct Candidate {
    float lower, upper;
    std::int32_t row;
  };

  /// Drops rows that must be farther than the k-th smallest upper bound, since k rows are at least that near.
  void drop_far() {
    if (waiting_.size() < k_) return;
    const auto last = waiting_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
    std::nth_element(waiting_.begin(), last, waiting_.end(),
                     [](const Candidate& a, const Candidate& b) { return a.upper < b.upper; });
    limit_ = std::min(limit_, last->upper);
    std::erase_if(waiting_, [&](const Candidate& c) { return c.lower > limit_; });
  }

  template <class Measure>
  void measure_waiting(const Measure& measure) {
    for (const Candidate& c : waiting_) measured_.push_back({measure(c.row), c.row});
    waiting_.clear();
    if (measured_.size() < k_) return;
    const auto last = measured_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
    std::nth_element(measured_.begin(), last, measured_.end());
    measured_.resize(k_);
    if (measured_.back().distance == 0) limit_ = -no_limit;  // later rows lose ties
  }

  DistanceBounds::Query query_;
  std::size_t k_;
  float limit_ = no_limit;
  std::vector<Candidate> waiting_;
  std::vector<Neighbor> measured_;
};

NeighborSearch::NeighborSearch(const Features& bank, const Features& query, std::vector<WantedNeighbors> wanted,
                               Backend& backend, const KnnBlocks& blocks)
    : bank_(bank),
      query_(query),
      wanted_(std::move(wanted)),
      backend_(backend),
      bank_lengths_(lengths_of(bank)),
      query_lengths_(lengths_of(query)),
      frame_(bank, bank_lengths_) {
  for (const WantedNeighbors& form : wanted_) {
    require(form.k > 0 && form.k <= bank.rows(), "neighbors: ", form.k, " of ", bank.rows(), " rows");
    bounds_.emplace_back(form.distance, frame_.bank(), bank.dim, backend.f32_operand_rounding());
  }
  for (std::int64_t begin = 0; begin < bank.rows(); begin += blocks.bank)
    bank_blocks_.push_back(centered_block(bank, frame_, begin, std::min(blocks.bank, bank.rows() - begin), backend));
}

std::vector<std::vector<std::vector<Neighbor>>> NeighborSearch::find(std::int64_t begin, std::int64_t count) {
  const Tensor queries = centered_block(query_, frame_, begin, count, backend_);
  Shortlists lists(wanted_.size());
  for (std::int64_t i = begin; i < begin + count; ++i) {
    const RowLengths row = frame_.lengths_of(query_.row(i), query_lengths_[static_cast<std::size_t>(i)]);
    for (std::size_t form = 0; form < wanted_.size(); ++form)
      lists[form].emplace_back(wanted_[form].k, bounds_[form].query(row));
  }
  std::int64_t first = 0;
  for (const Tensor& block : bank_blocks_) {
    const Tensor products = matmul(queries, block, false, true);
    products_.resize(static_cast<std::size_t>(products.size()));
    backend_.download(products_.data(), products.array().data, products.size() * size_of(DType::f32));
    offer_block(begin, count, first, block.shape[0], lists);
    first += block.shape[0];
  }
  std::vector<std::vector<std::vector<Neighbor>>> found(
      wanted_.size(), std::vector<std::vector<Neighbor>>(static_cast<std::size_t>(count)));
  parallel_for(count, 4, [&](std::int64_t low, std::int64_t high) {
    for (std::int64_t i = low; i < high; ++i)
      for (std::size_t form = 0; form < wanted_.size(); ++form)
        found[form][static_cast<std::size_t>(i)] = lists[form][static_cast<std::size_t>(i)].finish(
            [&](std::int32_t row) { return distance(form, begin + i, row); });
  });
  return found;
}

double NeighborSearch::distance(std::size_t form, std::int64_t query, std::int32_t row) const {
  const float *q = query_.row(query), *b = bank_.row(row);
  if (wanted_[form].distance == Distance::euclidean) return squared_distance(q, b, bank_.dim);
  return squared_chord(q, query_lengths_[static_cast<std::size_t>(query)], b,
                       bank_lengths_[static_cast<std::size_t>(row)], bank_.dim);
}

/// Processes rows first ... first + width - 1, whose products with the queries are in products_. Takes them in parts
/// that stay in the cache for all queries, in case many rows must be measured.
void NeighborSearch::offer_block(std::int64_t begin, std::int64_t count, std::int64_t first, std::int64_t width,
                                 Shortlists& lists) {
  constexpr std::int64_t part = 512;
  parallel_for(count, 4, [&](std::int64_t low, std::int64_t high) {
    for (std::int64_t start = 0; start < width; start += part)
      for (std::int64_t i = low; i < high; ++i)
        for (std::size_t form = 0; form < wanted_.size(); ++form)
          offer_rows(form, begin + i, products_.data() + i * width + start, first + start,
                     std::min(part, width - start), lists[form][static_cast<std::size_t>(i)]);
  });
}

void NeighborSearch::offer_rows(std::size_t form, std::int64_t query, const float* products, std::int64_t first,
                                std::int64_t count, Shortlist& list) const {
  constexpr std::int64_t chunk = 64;  // computes the bounds of a chunk with vector instructions, then tests them
  float lower[chunk];
  for (std::int64_t start = 0; start < count; start += chunk) {
    const std::int64_t size = std::min(chunk, count - start);
    bounds_[form].lower(products + start, first + start, size, list.query(), lower);
    const float limit = list.limit();
    int candidates = 0;
    for (std::int64_t i = 0; i < size; ++i) candidates += !(lower[i] > limit);
    for (std::int64_t i = 0; candidates > 0 && i < size; ++i) {
      if (lower[i] > list.limit()) continue;
      const std::int64_t row = first + start + i;
      list.add(lower[i], bounds_[form].upper(lower[i], row, list.query()), static_cast<std::int32_t>(row),
               [&](std::int32_t measured) { return distance(form, query, measured); });
    }
  }
}

}  // namespace vergence
