// A device's memory in pools: large segments are asked of the system once, cut into blocks, and joined again.
// Everything on a device runs on one stream, so a block released by the host may be handed out again at once. Only
// addresses are known here: the memory is never touched. Nothing here is thread-safe: its owner locks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/memory_plan.h"

namespace vergence {

/// Where a pool's segments come from.
struct MemorySource {
  std::function<void*(std::int64_t bytes)> take;  // new memory, or null
  std::function<void(void* segment)> give_back;
};

class DevicePool {
 public:
  struct Settings {
    /// Each block is a segment of its own, of exactly its bytes, and goes back when it is released: a sanitizer then
    /// knows each block's bounds, and that a new block holds nothing.
    bool single_blocks = false;
    /// No segment goes back before the pool's end: one that holds no block now may still be used by work that was noted
    /// down and not done yet.
    bool keeps = false;
  };

  explicit DevicePool(MemorySource source) : DevicePool(std::move(source), Settings{}) {}
  DevicePool(MemorySource source, Settings settings) : source_(std::move(source)), settings_(settings) {}
  ~DevicePool();
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;

  /// At least `bytes`, 256-byte aligned: the smallest gap that holds them, else a new segment. Null if the system has
  /// no more, even after `trim`.
  void* allocate(std::int64_t bytes);
  /// `block` as handed out by `allocate` with the same `bytes`.
  void release(void* block, std::int64_t bytes);
  bool owns(const void* block) const;
  /// Gives segments that hold no block back to the system, unless the pool keeps them.
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

  std::int64_t extent(std::int64_t bytes) const;
  void* add_segment(std::int64_t bytes);
  void* cut(std::map<Address, Gap>::iterator gap, std::int64_t bytes);
  std::map<Address, std::int64_t>::const_iterator segment_of(const void* block) const;

  MemorySource source_;
  Settings settings_;
  std::map<Address, std::int64_t> segments_;           // start -> bytes
  std::map<Address, Gap> gaps_;                        // start -> extent
  std::multimap<std::int64_t, Address> gaps_by_size_;  // the same by extent: the smallest that fits is found at once
  MemoryUse use_;
};

/// The memory of a device that records: a pool for everything, and one for each recording, whose blocks may never be
/// handed out to anybody else, as every replay writes to them.
class DeviceMemory {
 public:
  explicit DeviceMemory(MemorySource source, bool single_blocks = false);

  /// Of the pool for everything or, while a recording is under way, of the recording's. Null where there is no more.
  void* allocate(std::int64_t bytes);
  /// To the pool that it came from. Throws Error where it came from none. While a recording is under way, which may use
  /// it, a block of the pool for everything waits for the recording's end.
  void release(void* block, std::int64_t bytes);

  /// Between these two calls what the pool for everything hands out is noted down.
  void begin_log() { log_.emplace(); }
  MemoryLog end_log() { return std::exchange(log_, std::nullopt).value_or(MemoryLog{}); }

  bool recording() const { return under_way_ > 0; }
  /// Gives back what is unused first, to make room for the recording's own memory. With a log of the same work, which
  /// is not needed later, the recording's blocks lie where they take the least; without one, or where the work differs,
  /// where there is a gap.
  void begin_recording(const MemoryLog* log = nullptr);
  /// The recording's number.
  int end_recording();
  /// The recording will not be repeated any more. Its pool goes when none of its blocks is in use: until then nobody
  /// else can be given their addresses.
  void forget(int number);

  /// A recording's memory is in use as long as its pool is there.
  MemoryUse use() const;
  /// Bytes that the pool for everything holds and nobody uses.
  std::int64_t unused() const { return pool_.use().reserved - pool_.use().used; }
  void reset_peak() { pool_.reset_peak(); }

 private:
  struct Recorded {
    Recorded(MemorySource source, DevicePool::Settings settings) : pool(std::move(source), settings) {}

    bool in_plan(const void* block) const;
    bool unused() const { return pool.use().used == planned_bytes && (!plan || plan->empty()); }

    DevicePool pool;
    std::optional<MemoryPlan> plan;
    char* planned = nullptr;  // the plan's extent: a block of `pool`
    std::int64_t planned_bytes = 0;
    std::vector<std::pair<void*, std::int64_t>> held;  // of the pool for everything, released while it was under way
    bool forgotten = false;
  };

  MemorySource source_;
  bool single_blocks_;
  DevicePool pool_;
  std::optional<MemoryLog> log_;
  std::map<int, Recorded> recorded_;
  int begun_ = 0, under_way_ = 0;  // numbers count from 1
};

/// What a device makes of a rehearsal.
struct LoggedRun final : Rehearsal {
  explicit LoggedRun(MemoryLog made) : log(std::move(made)) {}
  MemoryLog log;
};
/// The log of a device's own rehearsal; null for null.
const MemoryLog* log_of(const Rehearsal* rehearsal);

/// VERGENCE_POOL: `on` (also where it is not set) or `off`, a device's blocks as single ones. Throws UsageError for
/// anything else.
bool pool_wanted();

}  // namespace vergence
