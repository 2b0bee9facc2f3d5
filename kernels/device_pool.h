// A pool of a device's memory: large segments are asked of the system once, cut into blocks, and joined again.
// Everything on a device runs on one stream, so a block released by the host may be handed out again at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "kernels/backend.h"

namespace vergence {

/// Knows addresses alone and never touches the memory. Not thread-safe: its owner locks.
class DevicePool {
 public:
  /// `take` gives `bytes` of new memory or null; `give_back` returns such a segment.
  DevicePool(std::function<void*(std::int64_t bytes)> take, std::function<void(void* segment)> give_back);
  ~DevicePool();
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;

  /// At least `bytes`, 256-byte aligned: the smallest gap that holds them, else a new segment. Null if the system has
  /// no more, even after `trim`.
  /// Without `may_trim` no segment is given back: one that holds no block now may still be used by work that was noted
  /// down and not done yet.
  void* allocate(std::int64_t bytes, bool may_trim = true);
  /// `block` as handed out by `allocate` with the same `bytes`.
  void release(void* block, std::int64_t bytes);
  bool owns(const void* block) const;
  /// Gives segments that hold no block back to the system.
  void trim();
  /// Bytes in blocks, their peak, and bytes in segments.
  const MemoryUse& use() const { return use_; }
  void reset_peak() { use_.peak = use_.used; }

 private:
  using Address = std::uintptr_t;
  struct Gap {
    std::int64_t bytes;
    Address segment;
  };

  void* cut(std::map<Address, Gap>::iterator gap, std::int64_t bytes);
  std::map<Address, std::int64_t>::const_iterator segment_of(const void* block) const;

  std::function<void*(std::int64_t)> take_;
  std::function<void(void*)> give_back_;
  std::map<Address, std::int64_t> segments_;           // start -> bytes
  std::map<Address, Gap> gaps_;                        // start -> extent
  std::multimap<std::int64_t, Address> gaps_by_size_;  // the same by extent: the smallest that fits is found at once
  MemoryUse use_;
};

}  // namespace vergence
