// The planned layout of a recording's memory. It only handles addresses, so made-up ones suffice.
#include "kernels/cuda/memory_plan.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/cuda/device_pool.h"
#include "kernels/random.h"

namespace vergence {
namespace {

constexpr std::int64_t mebi = 1 << 20;

/// A step: n > 0 allocates a block of n units; -n releases the n-th allocated block, counted from 1.
using Events = std::vector<int>;

const void* address(std::size_t number) { return reinterpret_cast<const void*>(256 * (number + 1)); }

MemoryLog log_of(const Events& events, std::int64_t unit) {
  MemoryLog log;
  std::size_t taken = 0;
  for (const int event : events) {
    if (event > 0)
      log.took(address(taken++), event * unit);
    else
      log.gave_back(address(static_cast<std::size_t>(-event - 1)));
  }
  return log;
}

/// A step of `count` blocks of all sizes, up to a dozen of them in use at once. Some are never released.
Events random_events(std::uint64_t seed, int count) {
  Random random(seed, Purpose::test);
  Events events;
  std::vector<int> there;
  for (int taken = 1; taken <= count; ++taken) {
    events.push_back(1 + static_cast<int>(random.below(random.below(4) == 0 ? 200 : 20)));
    there.push_back(taken);
    while (there.size() > 3 && (there.size() > 12 || random.below(2) == 0)) {
      const auto at = there.begin() + random.below(static_cast<std::uint32_t>(there.size()));
      events.push_back(-*at);
      there.erase(at);
    }
  }
  return events;
}

/// The most memory in use at once.
std::int64_t peak_of(const Events& events, std::int64_t unit) {
  std::vector<std::int64_t> sizes;
  std::int64_t used = 0, peak = 0;
  for (const int event : events) {
    if (event > 0) sizes.push_back(event * unit);
    used += event > 0 ? sizes.back() : -sizes[static_cast<std::size_t>(-event - 1)];
    peak = std::max(peak, used);
  }
  return peak;
}

TEST(MemoryPlan, PutsBlocksThatMeetApartInLittleMoreThanTheirPeak) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const Events events = random_events(seed, 300);
    MemoryPlan plan(log_of(events, 256));
    EXPECT_GE(plan.size(), peak_of(events, 256));
    EXPECT_LE(static_cast<double>(plan.size()), 1.3 * static_cast<double>(peak_of(events, 256)));
    std::vector<std::pair<std::int64_t, std::int64_t>> blocks;  // place and end
    std::map<std::int64_t, std::int64_t> there;
    for (const int event : events) {
      if (event < 0) {
        const std::int64_t place = blocks[static_cast<std::size_t>(-event - 1)].first;
        plan.give_back(place);
        there.erase(place);
        continue;
      }
      const std::optional<std::int64_t> place = plan.take(event * 256);
      ASSERT_TRUE(place);
      ASSERT_EQ(*place % 256, 0);
      const std::int64_t end = *place + event * 256;
      ASSERT_LE(end, plan.size());
      for (const auto& [start, stop] : there) ASSERT_TRUE(end <= start || stop <= *place);
      blocks.emplace_back(*place, end);
      there[*place] = end;
    }
  }
}

/// Blocks that grow: without a plan, the next one never fits the place of a smaller one.
TEST(MemoryPlan, KnowsWhatComesLater) {
  const Events events{2, 3, -1, 4, -2, 5, -3, 6, -4, -5};
  MemoryPlan plan(log_of(events, 256));
  EXPECT_EQ(plan.size(), peak_of(events, 256));
}

TEST(MemoryPlan, ARunThatDiffersGetsPlacesWhereNothingLies) {
  const Events events{4, 2, -1, 6, -2, 3, -3};
  MemoryPlan plan(log_of(events, 256));
  const std::optional<std::int64_t> first = plan.take(4 * 256);
  ASSERT_TRUE(first);
  EXPECT_FALSE(plan.take(7 * 256)) << "no block of the log";
  const std::optional<std::int64_t> second = plan.take(2 * 256);
  ASSERT_TRUE(second);
  EXPECT_FALSE(plan.take(6 * 256)) << "the first one's place is wanted, and it is still there";
  plan.give_back(*second);
  EXPECT_FALSE(plan.empty());
  EXPECT_TRUE(plan.take(3 * 256));
  EXPECT_FALSE(plan.take(3 * 256)) << "the log has ended";
}

TEST(MemoryPlan, ARunMayLeaveBlocksOut) {
  MemoryPlan plan(log_of({4, 1, -2, 2, 3}, 256));
  EXPECT_TRUE(plan.take(4 * 256));
  EXPECT_TRUE(plan.take(3 * 256));
  EXPECT_FALSE(plan.take(2 * 256)) << "that was before";
}

TEST(MemoryLog, KnowsNothingOfEarlierBlocks) {
  MemoryLog log;
  log.gave_back(address(7));
  EXPECT_TRUE(log.spans().empty());
  EXPECT_EQ(MemoryPlan(log).size(), 0);
}

/// Hands out made-up addresses far from one another.
MemorySource endless(std::int64_t& taken) {
  return {[&taken, next = std::uintptr_t{1} << 40](std::int64_t bytes) mutable {
            taken += bytes;
            next += static_cast<std::uintptr_t>(bytes) + (std::uintptr_t{1} << 32);
            return reinterpret_cast<void*>(next - static_cast<std::uintptr_t>(bytes));
          },
          [&taken](void*) {}};
}

/// Runs the step in `memory`; returns the blocks that it keeps.
std::vector<std::pair<void*, std::int64_t>> run(DeviceMemory& memory, const Events& events) {
  std::vector<std::pair<void*, std::int64_t>> blocks;
  for (const int event : events)
    if (event > 0) {
      blocks.emplace_back(memory.allocate(event * mebi), event * mebi);
    } else {
      auto& [block, bytes] = blocks[static_cast<std::size_t>(-event - 1)];
      memory.release(std::exchange(block, nullptr), bytes);
    }
  std::erase_if(blocks, [](const auto& one) { return one.first == nullptr; });
  return blocks;
}

TEST(PlannedRecording, TakesThePeakOfItsRehearsal) {
  const Events events = random_events(3, 400);
  std::int64_t taken = 0;
  DeviceMemory memory(endless(taken));
  memory.begin_log();
  const auto first = run(memory, events);
  const MemoryLog log = memory.end_log();
  for (const auto& [block, bytes] : first) memory.release(block, bytes);
  const auto recorded = [&](const MemoryLog* rehearsal) {
    const std::int64_t before = taken;
    memory.begin_recording(rehearsal);
    const auto kept = run(memory, events);
    const int number = memory.end_recording();
    const std::int64_t own = taken - before;
    memory.forget(number);
    EXPECT_GT(memory.use().reserved, 0) << "what outlives it";
    for (const auto& [block, bytes] : kept) memory.release(block, bytes);
    EXPECT_EQ(memory.use().used, 0);
    return own;
  };
  const std::int64_t planned = recorded(&log), one_by_one = recorded(nullptr);
  EXPECT_EQ(planned, MemoryPlan(log).size());
  EXPECT_LT(planned, one_by_one);
}

TEST(PlannedRecording, GivesOtherWorkMemoryToo) {
  std::int64_t taken = 0;
  DeviceMemory memory(endless(taken));
  memory.begin_log();
  run(memory, {300, 200, -1, -2});
  const MemoryLog log = memory.end_log();
  memory.begin_recording(&log);
  const auto kept = run(memory, {300, 500, 200});
  const int number = memory.end_recording();
  ASSERT_EQ(kept.size(), 3u);
  for (const auto& [block, bytes] : kept)
    for (const auto& [other, others] : kept)
      if (block < other) {
        EXPECT_LE(static_cast<char*>(block) + bytes, static_cast<char*>(other));
      }
  for (const auto& [block, bytes] : kept) memory.release(block, bytes);
  EXPECT_GT(memory.use().used, 0) << "every repetition writes there";
  memory.forget(number);
  EXPECT_EQ(memory.use().used, 0);
}

}  // namespace
}  // namespace vergence
