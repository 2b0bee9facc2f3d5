// A device's memory in pools: large segments requested from the system once, cut into blocks, and merged again.
// Everything on a device runs on one stream, so a block released by the host may be reused at once. The pool handles
// only addresses and never touches the memory. Not thread-safe: the owner locks.
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

/// The source of a pool's segments.
struct MemorySource {
  std::function<void*(std::int64_t bytes)> take;  // new memory, or null
  std::function<void(void* segment)> give_back;
};

class DevicePool {
 public:
  struct Settings {
    /// Each block is its own segment, of exactly its size, and is returned when released: a sanitizer then knows each
    /// block's bounds, and that a new block is uninitialized.
    bool single_blocks = false;
    /// Keeps every segment until the pool's end: one without blocks may still be used by recorded work that has not run
    /// yet.
    bool keeps = false;
  };

  explicit DevicePool(MemorySource source) : DevicePool(std::move(source), Settings{}) {}
  DevicePool(MemorySource source, Settings settings) : source_(std::move(source)), settings_(settings) {}
  ~DevicePool();
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;

  /// At least `bytes`, 256-byte aligned: from the smallest gap that fits, otherwise a new segment. Null if the system
  /// has no more memory, even after `trim`.
  void* allocate(std::int64_t bytes);
  /// `block` as returned by `allocate` with the same `bytes`.
  void release(void* block, std::int64_t bytes);
  bool owns(const void* block) const;
  /// Returns segments without blocks to the system, unless the pool keeps them.
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
  std::multimap<std::int64_t, Address> gaps_by_size_;  // the same by size: finds the smallest that fits at once
  MemoryUse use_;
};

/// The memory of a device that records: a general pool, and one pool per recording. A recording's blocks may never be
/// given to anybody else, since every replay writes to them.
class DeviceMemory {
 public:
  explicit DeviceMemory(MemorySource source, bool single_blocks = false);

  /// Allocates from the general pool or, during a recording, from the recording's. Null if there is no more memory.
  void* allocate(std::int64_t bytes);
  /// Returns a block to its pool. Throws Error if it belongs to none. A recording may use blocks of the general pool,
  /// so one released while recording is held until the recording is forgotten.
  void release(void* block, std::int64_t bytes);

  /// Between these two calls, logs the blocks of the general pool.
  void begin_log() { log_.emplace(); }
  MemoryLog end_log() { return std::exchange(log_, std::nullopt).value_or(MemoryLog{}); }

  bool recording() const { return under_way_ > 0; }
  /// First returns unused memory to the system. With a log of the same work (not needed afterwards), a MemoryPlan
  /// places the recording's blocks; without one, or where the work differs, they go to any gap that fits.
  void begin_recording(const MemoryLog* log = nullptr);
  /// The recording's number.
  int end_recording();
  /// For a recording that will not be replayed again: releases its pool once none of its blocks is in use, since until
  /// then nobody else may get their addresses.
  void forget(int number);

  /// A recording's memory counts as used as long as its pool exists.
  MemoryUse use() const;
  /// Bytes that the general pool holds but nobody uses.
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
    std::vector<std::pair<void*, std::int64_t>> held;  // blocks of the general pool released during the recording
    bool forgotten = false;
  };

  MemorySource source_;
  bool single_blocks_;
  DevicePool pool_;
  std::optional<MemoryLog> log_;
  std::map<int, Recorded> recorded_;
  int begun_ = 0, under_way_ = 0;  // numbers count from 1
};

/// What a device learns from a rehearsal.
struct LoggedRun final : Rehearsal {
  explicit LoggedRun(MemoryLog made) : log(std::move(made)) {}
  MemoryLog log;
};
/// The log of a device's own rehearsal; null for null.
const MemoryLog* log_of(const Rehearsal* rehearsal);

/// VERGENCE_POOL: `on` (the default) or `off`, for separate blocks. Throws UsageError for anything else.
bool pool_wanted();

}  // namespace vergence
