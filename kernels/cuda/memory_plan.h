// Plans the memory blocks of a repeated step from the blocks that the same step took and released in its last run.
// Handing out blocks one by one leaves gaps that no later block fills; planning with all of them known leaves none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace vergence {

/// The blocks that a step took and released, in order. Only addresses.
class MemoryLog {
 public:
  /// A block of `bytes`, in use from event `from` until event `to`.
  struct Span {
    std::int64_t bytes = 0;
    std::size_t from = 0, to = 0;
  };

  void took(const void* block, std::int64_t bytes);
  /// Does nothing if the block was taken before the log began.
  void gave_back(const void* block);
  /// In the order in which they were taken. A block that was not released stays forever.
  const std::vector<Span>& spans() const { return spans_; }

 private:
  std::vector<Span> spans_;
  std::unordered_map<const void*, std::size_t> open_;  // the blocks in use
  std::size_t now_ = 0;
};

/// Places each block of a log in one extent without overlaps: largest first, each in the smallest gap that is free for
/// its whole lifetime. Then hands out the places to a run of the same step, which may differ slightly from the log.
class MemoryPlan {
 public:
  explicit MemoryPlan(const MemoryLog& log);

  /// Bytes of the extent. Places are multiples of 256.
  std::int64_t size() const { return size_; }
  /// The place of the run's next block, if one of the next few blocks of the log has the same size and its place is
  /// free. Otherwise the block must be allocated elsewhere.
  std::optional<std::int64_t> take(std::int64_t bytes);
  void give_back(std::int64_t place);
  /// True if the extent holds no block.
  bool empty() const { return there_.empty(); }

 private:
  struct Block {
    std::int64_t bytes, place;
  };

  bool is_free(const Block& block) const;

  std::vector<Block> blocks_;  // in the order of the log
  std::int64_t size_ = 0;
  std::size_t next_ = 0;                        // of blocks_
  std::map<std::int64_t, std::int64_t> there_;  // what the extent holds: place -> bytes
};

}  // namespace vergence
