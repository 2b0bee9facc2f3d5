#include "models/parts.h"

#include <cmath>

namespace vergence {

Tensor part_of_rows(const Tensor& x, std::int64_t sections, std::int64_t part, std::int64_t parts) {
  const std::int64_t rows = x.shape[0] / sections;
  require(rows * sections == x.shape[0], "parts: ", x.shape, " in ", sections, " sections");
  const std::int64_t first = rows * part / parts, end = rows * (part + 1) / parts;
  Tensors shares;
  for (std::int64_t section = 0; section < sections; ++section)
    shares.push_back(slice(x, 0, section * rows + first, end - first));
  return sections == 1 ? shares[0] : concat(shares, 0);
}

Tensor joined_parts(const Tensors& parts, std::int64_t sections) {
  Tensors ordered;
  for (std::int64_t section = 0; section < sections; ++section)
    for (const Tensor& part : parts) {
      const std::int64_t rows = part.shape[0] / sections;
      ordered.push_back(sections == 1 ? part : slice(part, 0, section * rows, rows));
    }
  return concat(ordered, 0);
}

namespace {

/// Those that Statistics::at begins with.
RunningStatistics fresh_like(const RunningStatistics& running) {
  const Tensor& variance = running.variance;
  return {zeros_like(running.mean), full(variance.backend(), variance.shape, 1, variance.dtype), 0};
}

/// The running values of a layer after the updates of all ranks. `updates`: of each rank, which changed `own` from
/// `before`. An update keeps a share of the values and adds to the rest, so the ranks' updates follow each other.
Tensor after_all_ranks(const Tensor& before, const Tensor& own, double kept, const Ranks& ranks) {
  const Tensor added = ranks.gather(reshape(own - kept * before, {1, own.size()}));
  Tensor value = before;
  for (int rank = 0; rank < ranks.count(); ++rank) value = kept * value + reshape(slice(added, 0, rank, 1), own.shape);
  return value;
}

}  // namespace

RanksStatistics::RanksStatistics(const ForwardMode& pass) : pass_(pass) {
  if (Ranks{pass.ranks}.count() == 1 || !pass.training || !pass.running) return;
  for (const auto& [name, running] : pass.running->layers)
    before_[name] = {clone(running.mean), clone(running.variance), running.batches};
}

void RanksStatistics::gather() const {
  const Ranks ranks{pass_.ranks};
  if (ranks.count() == 1 || !pass_.training || !pass_.running) return;
  for (auto& [name, running] : pass_.running->layers) {
    const auto known = before_.find(name);
    const RunningStatistics before = known != before_.end() ? known->second : fresh_like(running);
    const std::int64_t updates = running.batches - before.batches;
    if (updates == 0) continue;
    const double kept = std::pow(1 - pass_.statistics_momentum, static_cast<double>(updates));
    assign(running.mean, after_all_ranks(before.mean, running.mean, kept, ranks));
    assign(running.variance, after_all_ranks(before.variance, running.variance, kept, ranks));
    running.batches = before.batches + updates * ranks.count();
  }
}

}  // namespace vergence
