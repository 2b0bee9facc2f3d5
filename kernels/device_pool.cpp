#include "kernels/device_pool.h"

#include <algorithm>
#include <utility>

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

DevicePool::DevicePool(std::function<void*(std::int64_t)> take, std::function<void(void*)> give_back)
    : take_(std::move(take)), give_back_(std::move(give_back)) {}

DevicePool::~DevicePool() {
  for (const auto& [start, bytes] : segments_) give_back_(reinterpret_cast<void*>(start));
}

void* DevicePool::allocate(std::int64_t bytes, bool may_trim) {
  const std::int64_t size = rounded(bytes);
  auto fits = gaps_by_size_.lower_bound(size);
  if (fits == gaps_by_size_.end()) {
    const std::int64_t least = size < smallest_large ? small_segment : large_segment;
    std::int64_t extent = std::max(size, least);
    void* segment = take_(extent);
    if (!segment && extent > size) segment = take_(extent = size);
    if (!segment && may_trim) {
      trim();
      segment = take_(extent);
    }
    if (!segment) return nullptr;
    const auto start = reinterpret_cast<Address>(segment);
    segments_[start] = extent;
    use_.reserved += extent;
    gaps_[start] = {extent, start};
    fits = gaps_by_size_.insert({extent, start});
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
  const std::int64_t size = rounded(bytes);
  auto start = reinterpret_cast<Address>(block);
  Gap gap{size, segment_of(block)->first};
  use_.used -= size;
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
  for (auto gap = gaps_.begin(); gap != gaps_.end();) {
    const auto [start, extent] = *gap;
    const auto segment = segments_.find(start);
    if (segment == segments_.end() || segment->second != extent.bytes) {
      ++gap;
      continue;
    }
    erase_size(gaps_by_size_, extent.bytes, start);
    give_back_(reinterpret_cast<void*>(start));
    use_.reserved -= extent.bytes;
    segments_.erase(segment);
    gap = gaps_.erase(gap);
  }
}

}  // namespace vergence
