#include "kernels/cuda/device_pool.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/environment.h"

namespace vergence {
namespace {

constexpr std::int64_t alignment = 256;
constexpr std::int64_t small_segment = std::int64_t{8} << 20;    // for blocks below 1 MiB
constexpr std::int64_t large_segment = std::int64_t{256} << 20;  // for the others
constexpr std::int64_t smallest_large = std::int64_t{1} << 20;

std::int64_t rounded(std::int64_t bytes) {
  return std::max(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void erase_size(std::multimap<std::int64_t, std::uintptr_t>& by_size, std::int64_t bytes, std::uintptr_t start) {
  for (auto [at, end] = by_size.equal_range(bytes); at != end; ++at)
    if (at->second == start) {
      by_size.erase(at);
      return;
    }
}

}  // namespace

DevicePool::~DevicePool() {
  for (const auto& [start, bytes] : segments_) source_.give_back(reinterpret_cast<void*>(start));
}

std::int64_t DevicePool::extent(std::int64_t bytes) const {
  return settings_.single_blocks ? std::max<std::int64_t>(1, bytes) : rounded(bytes);
}

/// A new segment, entered in `segments_`; null if the system has no more memory.
void* DevicePool::add_segment(std::int64_t bytes) {
  void* segment = source_.take(bytes);
  if (!segment) return nullptr;
  segments_[reinterpret_cast<Address>(segment)] = bytes;
  use_.reserved += bytes;
  return segment;
}

void* DevicePool::allocate(std::int64_t bytes) {
  const std::int64_t size = extent(bytes);
  if (settings_.single_blocks) {
    void* block = add_segment(size);
    if (block) use_.peak = std::max(use_.peak, use_.used += size);
    return block;
  }
  auto fits = gaps_by_size_.lower_bound(size);
  if (fits == gaps_by_size_.end()) {
    const std::int64_t least = size < smallest_large ? small_segment : large_segment;
    std::int64_t whole = std::max(size, least);
    void* segment = add_segment(whole);
    if (!segment && whole > size) segment = add_segment(whole = size);
    if (!segment && !settings_.keeps) {
      trim();
      segment = add_segment(whole);
    }
    if (!segment) return nullptr;
    const auto start = reinterpret_cast<Address>(segment);
    gaps_[start] = {whole, start};
    fits = gaps_by_size_.insert({whole, start});
  }
  const auto gap = gaps_.find(fits->second);
  gaps_by_size_.erase(fits);
  return cut(gap, size);
}

void* DevicePool::cut(std::map<Address, Gap>::iterator gap, std::int64_t bytes) {
  const auto [start, whole] = *gap;
  gaps_.erase(gap);
  if (whole.bytes > bytes) {
    const Address rest = start + static_cast<Address>(bytes);
    gaps_[rest] = {whole.bytes - bytes, whole.segment};
    gaps_by_size_.insert({whole.bytes - bytes, rest});
  }
  use_.used += bytes;
  use_.peak = std::max(use_.peak, use_.used);
  return reinterpret_cast<void*>(start);
}

void DevicePool::release(void* block, std::int64_t bytes) {
  const std::int64_t size = extent(bytes);
  auto start = reinterpret_cast<Address>(block);
  const auto segment = segment_of(block);
  use_.used -= size;
  if (settings_.single_blocks) {
    if (settings_.keeps) return;
    use_.reserved -= size;
    segments_.erase(segment);
    return source_.give_back(block);
  }
  Gap gap{size, segment->first};
  auto next = gaps_.lower_bound(start);
  if (next != gaps_.end() && next->second.segment == gap.segment && next->first == start + static_cast<Address>(size)) {
    gap.bytes += next->second.bytes;
    erase_size(gaps_by_size_, next->second.bytes, next->first);
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    const auto end = before->first + static_cast<Address>(before->second.bytes);
    if (before->second.segment == gap.segment && end == start) {
      start = before->first;
      gap.bytes += before->second.bytes;
      erase_size(gaps_by_size_, before->second.bytes, before->first);
    }
  }
  gaps_[start] = gap;
  gaps_by_size_.insert({gap.bytes, start});
}

std::map<DevicePool::Address, std::int64_t>::const_iterator DevicePool::segment_of(const void* block) const {
  const auto address = reinterpret_cast<Address>(block);
  auto after = segments_.upper_bound(address);
  require(after != segments_.begin(), "device memory: a block that is not of this pool");
  --after;
  require(address < after->first + static_cast<Address>(after->second),
          "device memory: a block that is not of this pool");
  return after;
}

bool DevicePool::owns(const void* block) const {
  const auto address = reinterpret_cast<Address>(block);
  const auto after = segments_.upper_bound(address);
  if (after == segments_.begin()) return false;
  const auto& [start, bytes] = *std::prev(after);
  return address < start + static_cast<Address>(bytes);
}

void DevicePool::trim() {
  if (settings_.keeps) return;
  for (auto gap = gaps_.begin(); gap != gaps_.end();) {
    const auto [start, extent] = *gap;
    const auto segment = segments_.find(start);
    if (segment == segments_.end() || segment->second != extent.bytes) {
      ++gap;
      continue;
    }
    erase_size(gaps_by_size_, extent.bytes, start);
    source_.give_back(reinterpret_cast<void*>(start));
    use_.reserved -= extent.bytes;
    segments_.erase(segment);
    gap = gaps_.erase(gap);
  }
}

DeviceMemory::DeviceMemory(MemorySource source, bool single_blocks)
    : source_(std::move(source)), single_blocks_(single_blocks), pool_(source_, {.single_blocks = single_blocks}) {}

bool DeviceMemory::Recorded::in_plan(const void* block) const {
  const auto* at = static_cast<const char*>(block);
  return planned && std::less_equal<>()(planned, at) && std::less<>()(at, planned + planned_bytes);
}

void* DeviceMemory::allocate(std::int64_t bytes) {
  if (recording()) {
    Recorded& recorded = recorded_.at(under_way_);
    const std::optional<std::int64_t> place = recorded.plan ? recorded.plan->take(bytes) : std::nullopt;
    return place ? recorded.planned + *place : recorded.pool.allocate(bytes);
  }
  void* block = pool_.allocate(bytes);
  if (log_ && block) log_->took(block, bytes);
  return block;
}

void DeviceMemory::release(void* block, std::int64_t bytes) {
  if (pool_.owns(block)) {
    if (recording()) {
      recorded_.at(under_way_).held.emplace_back(block, bytes);
      return;
    }
    if (log_) log_->gave_back(block);
    pool_.release(block, bytes);
    return;
  }
  for (auto recorded = recorded_.begin(); recorded != recorded_.end(); ++recorded) {
    Recorded& one = recorded->second;
    if (!one.pool.owns(block)) continue;
    if (one.in_plan(block))
      one.plan->give_back(static_cast<char*>(block) - one.planned);
    else
      one.pool.release(block, bytes);
    if (one.forgotten && one.unused()) recorded_.erase(recorded);
    return;
  }
  throw Error("device memory: a block that is not of this device");
}

void DeviceMemory::begin_recording(const MemoryLog* log) {
  require(!recording(), "recording: one is under way already");
  pool_.trim();
  recorded_.try_emplace(begun_ + 1, source_, DevicePool::Settings{.single_blocks = single_blocks_, .keeps = true});
  under_way_ = ++begun_;
  if (!log || single_blocks_) return;
  Recorded& recorded = recorded_.at(under_way_);
  MemoryPlan plan(*log);
  if (plan.size() == 0) return;
  recorded.planned = static_cast<char*>(recorded.pool.allocate(plan.size()));
  if (!recorded.planned) return;  // the blocks may still fit one by one
  recorded.planned_bytes = recorded.pool.use().used;
  recorded.plan = std::move(plan);
}

int DeviceMemory::end_recording() {
  require(recording(), "recording: none is under way");
  return std::exchange(under_way_, 0);
}

void DeviceMemory::forget(int number) {
  const auto recorded = recorded_.find(number);
  require(recorded != recorded_.end() && number != under_way_, "device memory: there is no recording ", number);
  for (const auto& [block, bytes] : std::exchange(recorded->second.held, {})) release(block, bytes);
  if (recorded->second.unused())
    recorded_.erase(recorded);
  else
    recorded->second.forgotten = true;
}

MemoryUse DeviceMemory::use() const {
  MemoryUse use = pool_.use();
  for (const auto& [number, recorded] : recorded_) {
    const std::int64_t reserved = recorded.pool.use().reserved;
    use.used += reserved;
    use.peak += reserved;
    use.reserved += reserved;
  }
  return use;
}

const MemoryLog* log_of(const Rehearsal* rehearsal) {
  const auto* run = dynamic_cast<const LoggedRun*>(rehearsal);
  return run ? &run->log : nullptr;
}

bool pool_wanted() { return is_on("VERGENCE_POOL"); }

}  // namespace vergence
