// Where the blocks of a step that is repeated lie: planned from what the same step took and gave back when it last ran.
// Blocks that are handed out one by one leave gaps that none of the later ones fills; who knows them all leaves none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace vergence {

/// What a step took and gave back, in order. Addresses alone.
class MemoryLog {
 public:
  /// A block of `bytes`, there from event `from` until event `to`.
  struct Span {
    std::int64_t bytes = 0;
    std::size_t from = 0, to = 0;
  };

  void took(const void* block, std::int64_t bytes);
  /// Nothing, where the block was taken before the log began.
  void gave_back(const void* block);
  /// In the order in which they were taken. What was not given back stays for ever.
  const std::vector<Span>& spans() const { return spans_; }

 private:
  std::vector<Span> spans_;
  std::unordered_map<const void*, std::size_t> open_;  // the blocks that are there
  std::size_t now_ = 0;
};

/// A place for each block of a log in one extent, where it meets no other: the largest first, each in the smallest gap
/// that is free all its time. Then the places for a run of the same step, which may differ from the log a little.
class MemoryPlan {
 public:
  explicit MemoryPlan(const MemoryLog& log);

  /// Bytes of the extent. Places are multiples of 256.
  std::int64_t size() const { return size_; }
  /// The place of the next block that the run takes, if the log goes on with one of as many bytes, some blocks on at
  /// most, and nothing lies there now. Otherwise it must lie elsewhere.
  std::optional<std::int64_t> take(std::int64_t bytes);
  void give_back(std::int64_t place);
  /// Whether no block lies in the extent.
  bool empty() const { return there_.empty(); }

 private:
  struct Block {
    std::int64_t bytes, place;
  };

  bool is_free(const Block& block) const;

  std::vector<Block> blocks_;  // in the order of the log
  std::int64_t size_ = 0;
  std::size_t next_ = 0;                        // of blocks_
  std::map<std::int64_t, std::int64_t> there_;  // what lies in the extent: place -> bytes
};

}  // namespace vergence
