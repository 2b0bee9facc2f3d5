// The pool of a device's memory: addresses alone, so any will do.
#include "kernels/device_pool.h"

#include <algorithm>
#include <cstdint>
#include <gtest/gtest.h>
#include <map>
#include <vector>

#include "kernels/random.h"

namespace vergence {
namespace {

/// A system that hands out made-up addresses, `limit` bytes in all.
class System {
 public:
  explicit System(std::int64_t limit) : left_(limit) {}

  void* take(std::int64_t bytes) {
    if (bytes > left_) return nullptr;
    left_ -= bytes;
    ++takes;
    const std::uintptr_t start = next_;
    next_ += static_cast<std::uintptr_t>(bytes);  // segments touch: blocks of two must still not be joined
    segments[start] = bytes;
    return reinterpret_cast<void*>(start);
  }
  void give_back(void* segment) {
    const auto found = segments.find(reinterpret_cast<std::uintptr_t>(segment));
    ASSERT_NE(found, segments.end());
    left_ += found->second;
    segments.erase(found);
  }

  std::map<std::uintptr_t, std::int64_t> segments;
  int takes = 0;

 private:
  std::int64_t left_;
  std::uintptr_t next_ = 1 << 20;
};

constexpr std::int64_t mebi = 1 << 20;

TEST(DevicePool, BlocksNeverOverlapAndLieInSegments) {
  System system(4096 * mebi);
  DevicePool pool([&](std::int64_t bytes) { return system.take(bytes); }, [&](void* s) { system.give_back(s); });
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
  DevicePool pool([&](std::int64_t bytes) { return system.take(bytes); }, [&](void* s) { system.give_back(s); });
  int takes = 0;
  for (int step = 0; step < 3; ++step) {
    std::vector<std::pair<void*, std::int64_t>> blocks;
    for (std::int64_t bytes : {3 * mebi, 40 * mebi, std::int64_t{100}, 7 * mebi, std::int64_t{5000}})
      blocks.push_back({pool.allocate(bytes), bytes});
    for (const auto& [block, bytes] : blocks) pool.release(block, bytes);
    if (step == 0) takes = system.takes;
  }
  EXPECT_EQ(system.takes, takes);
}

TEST(DevicePool, MakesRoomBeforeItGivesUp) {
  System system(300 * mebi);
  DevicePool pool([&](std::int64_t bytes) { return system.take(bytes); }, [&](void* s) { system.give_back(s); });
  void* large = pool.allocate(200 * mebi);
  EXPECT_EQ(pool.allocate(200 * mebi), nullptr);
  pool.release(large, 200 * mebi);
  void* larger = pool.allocate(290 * mebi);  // the unused segment goes back first
  EXPECT_NE(larger, nullptr);
  pool.release(larger, 290 * mebi);
  EXPECT_EQ(pool.use().peak, 290 * mebi);
}

}  // namespace
}  // namespace vergence
