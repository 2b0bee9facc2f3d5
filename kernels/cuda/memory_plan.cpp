#include "kernels/cuda/memory_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

namespace vergence {
namespace {

constexpr std::int64_t alignment = 256;
constexpr std::size_t max_skipped = 16;  // blocks of the log that a run may skip at once

std::int64_t aligned(std::int64_t bytes) {
  return std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
}

/// The start of the smallest gap of `bytes` between extents (start, end) or after the last of them.
std::int64_t smallest_gap(std::vector<std::pair<std::int64_t, std::int64_t>>& taken, std::int64_t bytes) {
  std::sort(taken.begin(), taken.end());
  std::int64_t end = 0, best = -1, best_size = std::numeric_limits<std::int64_t>::max();
  for (const auto& [start, stop] : taken) {
    const std::int64_t size = start - end;
    if (size >= bytes && size < best_size) best = end, best_size = size;
    end = std::max(end, stop);
  }
  return best >= 0 ? best : end;
}

}  // namespace

void MemoryLog::took(const void* block, std::int64_t bytes) {
  open_[block] = spans_.size();
  spans_.push_back({bytes, now_++, std::numeric_limits<std::size_t>::max()});
}

void MemoryLog::gave_back(const void* block) {
  const auto found = open_.find(block);
  if (found == open_.end()) return;
  spans_[found->second].to = now_++;
  open_.erase(found);
}

MemoryPlan::MemoryPlan(const MemoryLog& log) {
  const std::vector<MemoryLog::Span>& spans = log.spans();
  for (const MemoryLog::Span& span : spans) blocks_.push_back({aligned(span.bytes), 0});
  std::vector<std::size_t> order(spans.size()), placed;
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return blocks_[a].bytes > blocks_[b].bytes; });
  std::vector<std::pair<std::int64_t, std::int64_t>> taken;
  for (const std::size_t i : order) {
    taken.clear();
    for (const std::size_t other : placed)
      if (spans[other].from < spans[i].to && spans[i].from < spans[other].to)
        taken.emplace_back(blocks_[other].place, blocks_[other].place + blocks_[other].bytes);
    Block& block = blocks_[i];
    block.place = smallest_gap(taken, block.bytes);
    size_ = std::max(size_, block.place + block.bytes);
    placed.push_back(i);
  }
}

bool MemoryPlan::is_free(const Block& block) const {
  const auto after = there_.lower_bound(block.place);
  if (after != there_.end() && after->first < block.place + block.bytes) return false;
  return after == there_.begin() || std::prev(after)->first + std::prev(after)->second <= block.place;
}

std::optional<std::int64_t> MemoryPlan::take(std::int64_t bytes) {
  const std::int64_t size = aligned(bytes);
  const std::size_t last = std::min(blocks_.size(), next_ + max_skipped);
  for (std::size_t i = next_; i < last; ++i) {
    if (blocks_[i].bytes != size) continue;
    next_ = i + 1;
    if (!is_free(blocks_[i])) return std::nullopt;
    there_[blocks_[i].place] = size;
    return blocks_[i].place;
  }
  return std::nullopt;
}

void MemoryPlan::give_back(std::int64_t place) { there_.erase(place); }

}  // namespace vergence
