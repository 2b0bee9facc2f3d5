// The pool of a device's memory. It only handles addresses, so made-up ones suffice.
#include "kernels/cuda/device_pool.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <vector>

#include "kernels/random.h"

namespace vergence {
namespace {

/// A system that hands out made-up addresses, `limit` bytes in all, returned ones first.
class System {
 public:
  explicit System(std::int64_t limit) : left_(limit) {}

  void* take(std::int64_t bytes) {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    ++takes;
    std::uintptr_t start = next_;
    const auto again = std::find_if(back_.begin(), back_.end(), [&](const auto& one) { return one.second == bytes; });
    if (again != back_.end()) {
      start = again->first;
      back_.erase(again);
    } else {
      next_ += static_cast<std::uintptr_t>(bytes);  // segments touch, but blocks of two must not be joined
    }
    segments[start] = bytes;
    return reinterpret_cast<void*>(start);
  }
  void give_back(void* segment) {
    const auto found = segments.find(reinterpret_cast<std::uintptr_t>(segment));
    ASSERT_NE(found, segments.end());
    left_ += found->second;
    back_.emplace_back(*found);
    segments.erase(found);
  }
  MemorySource source() {
    return {[this](std::int64_t bytes) { return take(bytes); }, [this](void* segment) { give_back(segment); }};
  }

  std::map<std::uintptr_t, std::int64_t> segments;
  int takes = 0;

 private:
  std::int64_t left_;
  std::uintptr_t next_ = 1 << 20;
  std::vector<std::pair<std::uintptr_t, std::int64_t>> back_;
};

constexpr std::int64_t mebi = 1 << 20;

TEST(DevicePool, BlocksNeverOverlapAndLieInSegments) {
  System system(4096 * mebi);
  DevicePool pool(system.source());
  Random random(1, Purpose::test);
  std::map<std::uintptr_t, std::int64_t> live;  // start -> bytes
  std::int64_t used = 0;
  for (int round = 0; round < 4000; ++round) {
    if (!live.empty() && random.chance(0.48f)) {
      auto one = std::next(live.begin(), random.below(static_cast<std::uint32_t>(live.size())));
      pool.release(reinterpret_cast<void*>(one->first), one->second);
      used -= std::max<std::int64_t>(256, (one->second + 255) / 256 * 256);
      live.erase(one);
    } else {
      const std::int64_t bytes = random.chance(0.2f) ? random.below(20 * mebi) : random.below(5000);
      const auto start = reinterpret_cast<std::uintptr_t>(pool.allocate(bytes));
      ASSERT_NE(start, 0u);
      EXPECT_EQ(start % 256, 0u);
      const auto after = live.lower_bound(start);
      if (after != live.end()) {
        EXPECT_LE(start + static_cast<std::uintptr_t>(bytes), after->first);
      }
      if (after != live.begin()) {
        const auto before = std::prev(after);
        EXPECT_GE(start, before->first + static_cast<std::uintptr_t>(before->second));
      }
      const auto segment = std::prev(system.segments.upper_bound(start));
      EXPECT_LE(start + static_cast<std::uintptr_t>(bytes),
                segment->first + static_cast<std::uintptr_t>(segment->second));
      EXPECT_TRUE(pool.owns(reinterpret_cast<void*>(start)));
      live[start] = bytes;
      used += std::max<std::int64_t>(256, (bytes + 255) / 256 * 256);
    }
    EXPECT_EQ(pool.use().used, used);
  }
  for (const auto& [start, bytes] : live) pool.release(reinterpret_cast<void*>(start), bytes);
  pool.trim();
  EXPECT_TRUE(system.segments.empty());
  EXPECT_EQ(pool.use().used, 0);
  EXPECT_EQ(pool.use().reserved, 0);
  EXPECT_FALSE(pool.owns(reinterpret_cast<void*>(std::uintptr_t{1 << 20})));
}

TEST(DevicePool, ARepeatedStepAsksForNothingNew) {
  System system(4096 * mebi);
  DevicePool pool(system.source());
  int takes = 0;
  for (int step = 0; step < 3; ++step) {
    std::vector<std::pair<void*, std::int64_t>> blocks;
    for (std::int64_t bytes : {3 * mebi, 40 * mebi, std::int64_t{100}, 7 * mebi, std::int64_t{5000}})
      blocks.emplace_back(pool.allocate(bytes), bytes);
    for (const auto& [block, bytes] : blocks) pool.release(block, bytes);
    if (step == 0) takes = system.takes;
  }
  EXPECT_EQ(system.takes, takes);
}

TEST(DevicePool, MakesRoomBeforeItGivesUp) {
  System system(300 * mebi);
  DevicePool pool(system.source());
  void* large = pool.allocate(200 * mebi);
  EXPECT_EQ(pool.allocate(200 * mebi), nullptr);
  pool.release(large, 200 * mebi);
  void* larger = pool.allocate(290 * mebi);  // first returns the unused segment
  EXPECT_NE(larger, nullptr);
  pool.release(larger, 290 * mebi);
  EXPECT_EQ(pool.use().peak, 290 * mebi);
}

TEST(DevicePool, SingleBlocksHaveExactlyTheirBytesAndGoBackAtOnce) {
  System system(300 * mebi);
  DevicePool pool(system.source(), {.single_blocks = true});
  void *first = pool.allocate(1000), *second = pool.allocate(3), *none = pool.allocate(0);
  EXPECT_EQ(system.segments.size(), 3u);
  EXPECT_EQ(system.segments.at(reinterpret_cast<std::uintptr_t>(first)), 1000);
  EXPECT_EQ(system.segments.at(reinterpret_cast<std::uintptr_t>(second)), 3);
  EXPECT_NE(none, nullptr);
  EXPECT_EQ(pool.use().used, 1004);
  pool.release(first, 1000);
  EXPECT_EQ(system.segments.count(reinterpret_cast<std::uintptr_t>(first)), 0u);
  EXPECT_FALSE(pool.owns(first));
  EXPECT_EQ(pool.allocate(301 * mebi), nullptr);
  pool.release(second, 3);
  pool.release(none, 0);
  EXPECT_TRUE(system.segments.empty());
  EXPECT_EQ(pool.use().used, 0);
  EXPECT_EQ(pool.use().reserved, 0);
  EXPECT_EQ(pool.use().peak, 1004);
}

/// With and without pools.
class DeviceMemories : public testing::TestWithParam<bool> {
 protected:
  System system{4096 * mebi};
  DeviceMemory memory{system.source(), GetParam()};
};

TEST_P(DeviceMemories, ABlockReleasedWhileRecordingWaitsForItsEnd) {
  void* before = memory.allocate(mebi);
  memory.begin_recording();
  memory.release(before, mebi);  // the recording may read it
  void* inside = memory.allocate(mebi);
  EXPECT_NE(inside, before);
  memory.release(inside, mebi);
  const int recording = memory.end_recording();
  void* after = memory.allocate(mebi);
  EXPECT_NE(after, before);
  EXPECT_NE(after, inside);
  memory.release(after, mebi);
  memory.forget(recording);
  EXPECT_EQ(memory.use().used, 0);
}

TEST_P(DeviceMemories, ARecordingKeepsItsMemoryToItself) {
  memory.begin_recording();
  void* inside = memory.allocate(mebi);
  memory.release(inside, mebi);  // every replay still writes to it
  const int recording = memory.end_recording();
  const std::size_t segments = system.segments.size();
  EXPECT_GE(segments, 1u);
  void* after = memory.allocate(mebi);
  EXPECT_NE(after, inside);
  memory.release(after, mebi);
  EXPECT_GE(memory.use().used, mebi);
  memory.forget(recording);
  EXPECT_EQ(memory.use().used, 0);
}

/// If a recording's memory were freed while its result is in use, the result's release would free another's block.
TEST_P(DeviceMemories, BlocksInUseKeepAForgottenPool) {
  memory.begin_recording();
  void* result = memory.allocate(300 * mebi);
  memory.forget(memory.end_recording());
  void* other = memory.allocate(300 * mebi);
  EXPECT_NE(other, result);
  memory.release(result, 300 * mebi);
  EXPECT_EQ(memory.use().used, 300 * mebi);
  void* third = memory.allocate(300 * mebi);
  EXPECT_NE(third, other);
  memory.release(other, 300 * mebi);
  memory.release(third, 300 * mebi);
  EXPECT_EQ(memory.use().used, 0);
}

TEST_P(DeviceMemories, ABlockOfNobodyIsRefused) {
  void* block = memory.allocate(mebi);
  EXPECT_THROW(memory.release(reinterpret_cast<void*>(std::uintptr_t{256}), mebi), Error);
  memory.release(block, mebi);
}

TEST_P(DeviceMemories, ARecordingThatDidNotBeginLeavesNothing) {
  memory.begin_recording();
  EXPECT_THROW(memory.begin_recording(), Error);
  memory.forget(memory.end_recording());
  EXPECT_THROW(memory.end_recording(), Error);
  EXPECT_TRUE(system.segments.empty());
  void* block = memory.allocate(100);
  memory.release(block, 100);
  EXPECT_EQ(memory.use().used, 0);
}

INSTANTIATE_TEST_SUITE_P(SingleBlocks, DeviceMemories, testing::Bool());

TEST(DeviceMemory, OneVariableTurnsThePoolOff) {
  const auto with = [](const char* value) {
    setenv("VERGENCE_POOL", value, 1);
    return pool_wanted();
  };
  EXPECT_FALSE(with("off"));
  EXPECT_TRUE(with("on"));
  try {
    with("no");
    ADD_FAILURE() << "taken";
  } catch (const UsageError& error) {
    EXPECT_STREQ(error.what(), "VERGENCE_POOL: expected on or off, got 'no'");
  }
  unsetenv("VERGENCE_POOL");
  EXPECT_TRUE(pool_wanted());
}

}  // namespace
}  // namespace vergence
