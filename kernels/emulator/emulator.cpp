// Running a grid: see emulator.h. One block at a time; its threads are fibers that stop at barriers and at the
// collectives of their warp.
#include "kernels/emulator/emulator.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/draws.h"
#include "kernels/emulator/capture.h"
#include "kernels/emulator/fiber.h"
#include "kernels/error.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace vergence::emulated {

Thread* running = nullptr;

namespace {

constexpr std::size_t guard_bytes = 64;
constexpr unsigned char poison = 0xff;
constexpr std::size_t shared_limit = 48 << 10;

enum class Waiting { no, at_barrier, at_collective, done };

struct AsyncCopy {
  void* shared;
  const void* global;
  int bytes, valid_bytes;
};

struct FiberThread {
  Thread seen;
  Waiting waiting = Waiting::no;
  const char* where = nullptr;  // file of the barrier, or name of the collective
  int line = 0, predicate = 0, counted = 0;
  unsigned mask = 0;
  unsigned collectives = 0;  // so far: their slots alternate
  bool waited = false;       // for the kernel before
  bool worked = false;       // used shared memory, a barrier or a collective
  std::vector<std::vector<AsyncCopy>> groups;
  std::vector<AsyncCopy> pending;
};

struct SharedArray {
  std::vector<unsigned char> storage;
  unsigned char* start = nullptr;
  std::size_t bytes = 0;
  const char* name = nullptr;
};

struct Warp {
  alignas(16) unsigned char slots[2][32 * slot_bytes];
};

/// The order in which a block's threads run between barriers. Greedy: a warp runs through all of its collectives to its
/// next barrier before the next warp begins; otherwise all warps advance together from collective to collective.
struct Sequence {
  std::vector<int> threads;
  std::vector<std::vector<int>> warps;  // the same by warp; warps are in order of their first thread
  bool greedy = false;
};

class Block {
 public:
  void run(const LaunchSite& site, const std::function<void()>& body, const uint3& index, const Sequence& sequence);

  std::vector<FiberThread> threads;
  std::vector<Warp> warps;
  std::map<const void*, SharedArray> shared;
  std::size_t shared_bytes = 0, current = 0, done = 0;
  Fibers fibers;
  const std::function<void()>* body = nullptr;
  const LaunchSite* site = nullptr;

  FiberThread& self() { return threads[current]; }
  /// Suspends the running thread until the scheduler resumes it.
  void wait(Waiting what) {
    self().waiting = what;
    fibers.yield();
  }
  [[noreturn]] void fail(const std::string& what, std::size_t thread) const {
    const FiberThread& t = threads[thread];
    const uint3 &b = t.seen.block_index, &i = t.seen.thread_index;
    throw Error(join("emulator: kernel ", site->name, ", block (", b.x, ", ", b.y, ", ", b.z, "), thread (", i.x, ", ",
                     i.y, ", ", i.z, "): ", what));
  }

 private:
  void reset(const LaunchSite& site, const std::function<void()>& body, const uint3& index, std::size_t count);
  bool run_ready(const std::vector<int>& order);
  bool release_collectives(std::size_t warp);
  bool release_barrier();
  void check_guards();
  [[noreturn]] void report_stuck();
};

Block block;
ThreadOrder thread_order = ThreadOrder::changing;
std::uint64_t launches = 0;
std::string late_error;  // found inside a fiber, thrown outside

void run_thread(std::size_t index) {
  (*block.body)();
  FiberThread& self = block.threads[index];
  const bool open_groups = std::any_of(self.groups.begin(), self.groups.end(), [](auto& g) { return !g.empty(); });
  if (!self.pending.empty() || open_groups)
    late_error =
        join("emulator: kernel ", block.site->name, ": a thread ended with copies (cp.async) never waited for");
  if (block.site->early && !self.waited)
    late_error =
        join("emulator: kernel ", block.site->name, ", launched early: a thread never waited for the one before");
  self.waiting = Waiting::done;
}

std::string place_of(const FiberThread& t) {
  switch (t.waiting) {
    case Waiting::at_barrier:
      return join("the barrier at ", t.where, ":", t.line);
    case Waiting::at_collective:
      return join(t.where, " (mask ", std::hex, t.mask, ")");
    case Waiting::done:
      return "the end of the kernel";
    case Waiting::no:
      break;
  }
  return "nowhere";
}

/// Releases the lanes of a warp once all lanes of the mask have arrived at the same collective.
bool Block::release_collectives(std::size_t warp) {
  bool any = false;
  const std::size_t first = warp * 32, lanes = std::min<std::size_t>(32, threads.size() - first);
  for (std::size_t i = 0; i < lanes; ++i) {
    const FiberThread& t = threads[first + i];
    if (t.waiting != Waiting::at_collective) continue;
    bool all = true;
    for (std::size_t k = 0; k < 32 && all; ++k)
      if (t.mask >> k & 1u) {
        const FiberThread* other = k < lanes ? &threads[first + k] : nullptr;
        all = other && other->waiting == Waiting::at_collective && other->mask == t.mask && other->where == t.where;
      }
    if (!all) continue;
    if (!(t.mask >> i & 1u)) fail(join("calls ", t.where, " with a mask that leaves itself out"), first + i);
    const unsigned mask = t.mask;
    for (std::size_t k = 0; k < lanes; ++k)
      if (mask >> k & 1u) threads[first + k].waiting = Waiting::no;
    any = true;
  }
  return any;
}

bool Block::release_barrier() {
  const FiberThread& first = threads.front();
  int count = 0;
  for (const FiberThread& t : threads) {
    if (t.waiting != Waiting::at_barrier || t.where != first.where || t.line != first.line) return false;
    count += t.predicate != 0;
  }
  for (FiberThread& t : threads) {
    t.waiting = Waiting::no;
    t.counted = count;
  }
  return true;
}

void Block::report_stuck() {
  std::size_t waiting = 0;
  while (threads[waiting].waiting == Waiting::done) ++waiting;
  const std::string place = place_of(threads[waiting]);
  for (std::size_t i = 0; i < threads.size(); ++i)
    if (place_of(threads[i]) != place)
      fail(join("waits at ", place, " while thread ", i, " is at ", place_of(threads[i]), ": divergent"), waiting);
  fail(join("waits at ", place, " for lanes that its warp does not have"), waiting);
}

void Block::check_guards() {
  for (const auto& [declaration, array] : shared) {
    ASAN_UNPOISON_MEMORY_REGION(array.start - guard_bytes, array.bytes + 2 * guard_bytes);
    const auto intact = [](unsigned char byte) { return byte == poison; };
    if (!std::all_of(array.start - guard_bytes, array.start, intact) ||
        !std::all_of(array.start + array.bytes, array.start + array.bytes + guard_bytes, intact))
      fail(join("some thread wrote outside the shared array '", array.name, "' of ", array.bytes, " bytes"), 0);
  }
}

void Block::reset(const LaunchSite& launch_site, const std::function<void()>& thread_body, const uint3& index,
                  std::size_t count) {
  site = &launch_site;
  body = &thread_body;
  for (const auto& [declaration, array] : shared)  // of a block that failed
    ASAN_UNPOISON_MEMORY_REGION(array.start - guard_bytes, array.bytes + 2 * guard_bytes);
  threads.resize(count);
  warps.resize((count + 31) / 32);
  shared.clear();
  shared_bytes = 0;
  done = 0;
  const dim3& extent = launch_site.block;
  std::size_t at = 0;
  for (unsigned z = 0; z < extent.z; ++z)
    for (unsigned y = 0; y < extent.y; ++y)
      for (unsigned x = 0; x < extent.x; ++x, ++at) {
        FiberThread& t = threads[at];
        t.seen = {{x, y, z}, index, extent, launch_site.grid};
        t.waiting = Waiting::no;
        t.collectives = 0;
        t.waited = t.worked = false;
        t.groups.clear();
        t.pending.clear();
      }
  fibers.start(count, run_thread);
}

/// Runs each runnable thread until it has to wait; true if any could run.
bool Block::run_ready(const std::vector<int>& order) {
  bool any = false;
  for (int i : order) {
    current = static_cast<std::size_t>(i);
    FiberThread& t = threads[current];
    if (t.waiting != Waiting::no) continue;
    running = &t.seen;
    any = true;
    if (!fibers.resume(current)) ++done;
    if (!late_error.empty()) throw Error(std::exchange(late_error, {}));
  }
  return any;
}

void Block::run(const LaunchSite& launch_site, const std::function<void()>& thread_body, const uint3& index,
                const Sequence& sequence) {
  reset(launch_site, thread_body, index, sequence.threads.size());
  while (done < threads.size()) {
    bool progress = false;
    if (sequence.greedy) {
      for (const std::vector<int>& warp : sequence.warps) {
        do {
          progress |= run_ready(warp);
        } while (release_collectives(static_cast<std::size_t>(warp.front()) / 32));
      }
    } else {
      progress = run_ready(sequence.threads);
      for (std::size_t warp = 0; warp < warps.size(); ++warp) progress |= release_collectives(warp);
    }
    if (done < threads.size() && !progress && !release_barrier()) report_stuck();
  }
  check_guards();
}

Sequence thread_sequence(std::size_t count) {
  ThreadOrder order = thread_order;
  if (order == ThreadOrder::changing) order = static_cast<ThreadOrder>(launches * 2654435761u >> 7 & 3u);
  Sequence sequence;
  std::vector<int>& threads = sequence.threads;
  threads.resize(count);
  std::iota(threads.begin(), threads.end(), 0);
  if (order == ThreadOrder::descending) std::reverse(threads.begin(), threads.end());
  if (order == ThreadOrder::random_1 || order == ThreadOrder::random_2) {
    Random random(static_cast<std::uint64_t>(order), Purpose::test);
    shuffle(threads, random);
  }
  sequence.greedy = order == ThreadOrder::descending || order == ThreadOrder::random_2;
  std::map<int, std::size_t> places;
  for (int thread : threads) {
    const auto [place, fresh] = places.try_emplace(thread / 32, sequence.warps.size());
    if (fresh) sequence.warps.emplace_back();
    sequence.warps[place->second].push_back(thread);
  }
  return sequence;
}

void require_launchable(const LaunchSite& site) {
  const dim3 &g = site.grid, &b = site.block;
  const std::uint64_t threads = std::uint64_t{b.x} * b.y * b.z;
  require(threads >= 1 && threads <= 1024 && b.z <= 64, "emulator: kernel ", site.name, ": ", b.x, "x", b.y, "x", b.z,
          " threads in a block, the hardware allows 1024");
  require(threads <= 256 || site.name == std::string_view("make_views"), "emulator: kernel ", site.name, ": ", threads,
          " threads in a block: of more than 256 each may have too few registers");
  require(g.x >= 1 && g.x <= 0x7fffffffu && g.y >= 1 && g.y <= 65535 && g.z >= 1 && g.z <= 65535, "emulator: kernel ",
          site.name, ": the hardware does not allow a grid of ", g.x, "x", g.y, "x", g.z);
}

}  // namespace

void run_now(const LaunchSite& site, const std::function<void()>& body) {
  ++launches;
  const Sequence sequence = thread_sequence(std::size_t{site.block.x} * site.block.y * site.block.z);
  for (unsigned z = 0; z < site.grid.z; ++z)
    for (unsigned y = 0; y < site.grid.y; ++y)
      for (unsigned x = 0; x < site.grid.x; ++x) block.run(site, body, {x, y, z}, sequence);
  running = nullptr;
}

void (*launch_observer)(const char* kernel) = nullptr;

void run_grid(const LaunchSite& site, std::function<void()> body) {
  require_launchable(site);
  if (launch_observer) launch_observer(site.name);
  run_or_record([site, body = std::move(body)] { run_now(site, body); });
}

void waited_for_kernel_before() {
  FiberThread& self = block.self();
  if (self.worked)
    late_error =
        join("emulator: kernel ", block.site->name, ": a thread worked before it waited for the kernel before");
  self.waited = true;
}

void set_thread_order(ThreadOrder order) { thread_order = order; }

int barrier_count(const char* file, int line, int predicate) {
  FiberThread& self = block.self();
  self.where = file, self.line = line, self.predicate = predicate;
  self.worked = true;
  block.wait(Waiting::at_barrier);
  return self.counted;
}

unsigned lane() { return static_cast<unsigned>(block.current % 32); }

Deposits exchange_bytes(unsigned mask, const void* value, std::size_t bytes, const char* name) {
  FiberThread& self = block.self();
  const std::size_t warp = block.current / 32;
  unsigned char* slots = block.warps[warp].slots[self.collectives++ % 2];
  std::memcpy(slots + block.current % 32 * slot_bytes, value, bytes);
  self.where = name, self.mask = mask;
  self.worked = true;
  block.wait(Waiting::at_collective);
  return {slots};
}

void* shared_array(const void* declaration, std::size_t bytes, const char* name) {
  block.self().worked = true;
  SharedArray& array = block.shared[declaration];
  if (!array.start) {
    array.storage.assign(bytes + 2 * guard_bytes + 16, poison);
    const auto from = reinterpret_cast<std::uintptr_t>(array.storage.data()) + guard_bytes;
    array.start = array.storage.data() + guard_bytes + (16 - from % 16) % 16;
    array.bytes = bytes;
    array.name = name;
    ASAN_POISON_MEMORY_REGION(array.start - guard_bytes, guard_bytes);
    ASAN_POISON_MEMORY_REGION(array.start + bytes, guard_bytes);
    block.shared_bytes += (bytes + 15) / 16 * 16;
    if (block.shared_bytes > shared_limit)
      late_error = join("emulator: kernel ", block.site->name, ": ", block.shared_bytes,
                        " bytes of shared memory in a block, static shared memory ends at ", shared_limit);
  }
  return array.start;
}

void async_copy(void* shared, const void* global, int bytes, int valid_bytes) {
  block.self().pending.push_back({shared, global, bytes, valid_bytes});
}

void async_commit() {
  FiberThread& self = block.self();
  self.groups.push_back(std::move(self.pending));
  self.pending.clear();
}

void async_wait(int groups_left) {
  FiberThread& self = block.self();
  while (static_cast<int>(self.groups.size()) > groups_left) {
    for (const AsyncCopy& copy : self.groups.front()) {
      std::memcpy(copy.shared, copy.global, static_cast<std::size_t>(copy.valid_bytes));
      std::memset(static_cast<char*>(copy.shared) + copy.valid_bytes, 0,
                  static_cast<std::size_t>(copy.bytes - copy.valid_bytes));
    }
    self.groups.erase(self.groups.begin());
  }
}

}  // namespace vergence::emulated
