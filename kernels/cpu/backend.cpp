// The CPU's memory.
//
// Small blocks come from free lists by size class (powers of two with eight steps between, so at most 12.5 % is lost).
// Large blocks are cut from one reserved address range, lowest first, and merged with their neighbors on release: a
// training step finds the pages of the previous step, and resident memory stays close to peak use. The range asks for
// huge pages: fewer page faults and fewer address translations.
#include "kernels/cpu/backend.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/parallel.h"

namespace vergence {
namespace {

constexpr std::int64_t alignment = 64;
constexpr std::int64_t smallest_large = std::int64_t{256} << 10;

/// Bytes actually allocated for a request: a multiple of the alignment; below `smallest_large`, a size class.
std::int64_t rounded(std::int64_t bytes) {
  std::int64_t step = alignment;
  if (bytes < smallest_large) {
    const auto power = std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, bytes)));
    step = std::max(step, static_cast<std::int64_t>(power) / 8);
  }
  return std::max(step, (bytes + step - 1) / step * step);
}

/// Address space for large blocks: as many bytes as the machine has memory. It costs nothing until touched.
char* reserve_range(std::int64_t& size) {
  size = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
  void* range = mmap(nullptr, static_cast<std::size_t>(size), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) {
    size = 0;
    return nullptr;
  }
#ifdef MADV_HUGEPAGE
  madvise(range, static_cast<std::size_t>(size), MADV_HUGEPAGE);
#endif
  return static_cast<char*>(range);
}

}  // namespace

CpuBackend::CpuBackend() {
  range_ = reserve_range(range_size_);
  if (range_size_ > 0) gaps_[0] = range_size_;
}

CpuBackend::~CpuBackend() {
  for (auto& [size, blocks] : free_)
    for (void* block : blocks) std::free(block);
  if (range_) munmap(range_, static_cast<std::size_t>(range_size_));
}

void* CpuBackend::allocate(std::int64_t bytes) {
  const std::int64_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  void* block = size < smallest_large ? allocate_small(size) : allocate_large(size);
  require(block != nullptr, "out of memory: asked for ", bytes, " bytes with ", use_.used, " in use");
  use_.used += size;
  use_.peak = std::max(use_.peak, use_.used);
  return block;
}

void CpuBackend::release(void* block, std::int64_t bytes) noexcept {
  if (!block) return;
  const std::int64_t size = rounded(bytes);
  const std::lock_guard lock(mutex_);
  use_.used -= size;
  const bool in_range = block >= range_ && block < range_ + range_size_;
  try {
    if (in_range) {
      release_large(static_cast<char*>(block) - range_, size);
    } else if (size < smallest_large) {
      free_[size].push_back(block);
    } else {
      std::free(block);
      use_.reserved -= size;
    }
  } catch (...) {  // no memory for the bookkeeping: the block leaks, the program goes on
  }
}

void* CpuBackend::allocate_small(std::int64_t size) {
  std::vector<void*>& blocks = free_[size];
  if (!blocks.empty()) {
    void* block = blocks.back();
    blocks.pop_back();
    return block;
  }
  use_.reserved += size;
  return std::aligned_alloc(alignment, static_cast<std::size_t>(size));
}

void* CpuBackend::allocate_large(std::int64_t size) {
  if (!range_) {  // the system refuses to reserve addresses: allocate each block separately
    use_.reserved += size;
    return std::aligned_alloc(alignment, static_cast<std::size_t>(size));
  }
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [&](const auto& g) { return g.second >= size; });
  if (gap == gaps_.end()) return nullptr;
  const auto [offset, extent] = *gap;
  gaps_.erase(gap);
  if (extent > size) gaps_[offset + size] = extent - size;
  use_.reserved += std::max<std::int64_t>(0, offset + size - range_touched_);
  range_touched_ = std::max(range_touched_, offset + size);
  return range_ + offset;
}

void CpuBackend::release_large(std::int64_t offset, std::int64_t size) {
  auto next = gaps_.lower_bound(offset);
  if (next != gaps_.end() && next->first == offset + size) {
    size += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += size;
      return;
    }
  }
  gaps_.emplace_hint(next, offset, size);
}

MemoryUse CpuBackend::memory() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void CpuBackend::reset_peak() {
  const std::lock_guard lock(mutex_);
  use_.peak = use_.used;
}

void CpuBackend::upload(void* device, const void* host, std::int64_t bytes) {
  parallel_for(bytes, std::int64_t{1} << 20, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<char*>(device) + begin, static_cast<const char*>(host) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

void CpuBackend::download(void* host, const void* device, std::int64_t bytes) { upload(host, device, bytes); }

Backend& cpu_backend() {
  // Never destroyed: tensors with static lifetime may release their blocks after main.
  static CpuBackend* const cpu = new CpuBackend;
  return *cpu;
}

}  // namespace vergence
