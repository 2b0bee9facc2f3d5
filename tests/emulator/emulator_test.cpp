// Tests the emulator itself: correct kernels run as on a GPU, and each kind of mistake is found and reported.
#include "kernels/emulator/emulator.h"

#include <gtest/gtest.h>
#include <numeric>
#include <vector>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"
#include "kernels/error.h"
#include "tests/support/complaints.h"

namespace vergence::emulated {
namespace {

void expect_failure(const std::function<void()>& f, const char* part) {
  const std::string what = error_or<Error>("", f);
  EXPECT_NE(what.find(part), std::string::npos) << "expected '" << part << "' in: " << what;
}

/// Reverses 64 values through shared memory; without the barrier the result depends on the order of the threads.
template <bool with_barrier>
__global__ void reverse(const int* in, int* out) {
  SHARED(int, tile, [64]);
  tile[threadIdx.x] = in[blockIdx.x * 64 + threadIdx.x];
  if constexpr (with_barrier) __syncthreads();
  out[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}

TEST(Emulator, RunsBlocksWithSharedMemoryInEveryOrder) {
  std::vector<int> in(192), out(192);
  std::iota(in.begin(), in.end(), 0);
  for (int order = 0; order < 4; ++order) {
    set_thread_order(static_cast<ThreadOrder>(order));
    launch("reverse", reverse<true>, 3, 64, 0, in.data(), out.data());
    for (int i = 0; i < 192; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], i / 64 * 64 + 63 - i % 64);
  }
  set_thread_order(ThreadOrder::changing);
}

TEST(Emulator, AMissingBarrierShowsInPoisonAndInTheOrder) {
  std::vector<int> in(64, 5);
  int wrong = 0;
  for (int order = 0; order < 4; ++order) {
    std::vector<int> out(64);
    set_thread_order(static_cast<ThreadOrder>(order));
    launch("reverse", reverse<false>, 1, 64, 0, in.data(), out.data());
    for (int value : out) wrong += value == -1;
  }
  set_thread_order(ThreadOrder::changing);
  EXPECT_GT(wrong, 64);  // every order reads about half of the values too early
}

__global__ void divergent(int* out) {
  if (threadIdx.x < 40) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void two_barriers(int* out) {
  if (threadIdx.x % 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
__global__ void overrun(int* out) {
  SHARED(int, tile, [32]);
  tile[threadIdx.x + 1] = 1;
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
__global__ void part_of_a_warp(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 1);
}
__global__ void half_a_warp(int* out) { out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 16); }
__global__ void without_its_own_lane(int* out) { out[threadIdx.x] = __shfl_sync(0xfffffffeu, 1, 1); }
__global__ void too_much_shared(int* out) {
  SHARED(double, tile, [6200]);
  out[0] = tile[0] > 0;
}
__global__ void impatient(int* out) {
  if (threadIdx.x == 0) wait_for_kernel_before();
  out[threadIdx.x] = 1;
}
__global__ void late(int* out) {
  SHARED(int, tile, [32]);
  tile[threadIdx.x] = out[threadIdx.x];
  wait_for_kernel_before();
}
__global__ void never_waits(int* out) {
  SHARED(int, tile, [4]);
  async_copy(tile, out, 16, 16);
  async_commit();
}

TEST(Emulator, ReportsMistakes) {
  std::vector<int> out(1024);
  int* p = out.data();
  expect_failure([=] { launch("divergent", divergent, 2, 64, 0, p); }, "kernel divergent, block (0, 0, 0)");
  expect_failure([=] { launch("divergent", divergent, 1, 64, 0, p); }, "divergent");
  expect_failure([=] { launch("two", two_barriers, 1, 64, 0, p); }, "emulator_test.cpp:");
#ifndef __SANITIZE_ADDRESS__  // there the access stops the program
  expect_failure([=] { launch("overrun", overrun, 1, 32, 0, p); }, "outside the shared array 'tile' of 128 bytes");
#endif
  expect_failure([=] { launch("part", part_of_a_warp, 1, 32, 0, p); }, "__shfl_xor_sync");
  expect_failure([=] { launch("half", half_a_warp, 1, 16, 0, p); }, "lanes that its warp does not have");
  expect_failure([=] { launch("mask", without_its_own_lane, 1, 32, 0, p); }, "a mask that leaves itself out");
  expect_failure([=] { launch("crowded", divergent, 1, 512, 0, p); }, "may have too few registers");
  expect_failure([=] { launch("shared", too_much_shared, 1, 32, 0, p); }, "49600 bytes of shared memory");
  expect_failure([=] { launch("never", never_waits, 1, 32, 0, p); }, "never waited for");
  expect_failure([=] { launch_early("impatient", impatient, 1, 32, 0, p); }, "never waited for the one before");
  expect_failure([=] { launch_early("late", late, 1, 32, 0, p); }, "before it waited for the kernel before");
  launch("patient", impatient, 1, 32, 0, p);  // a normal launch follows the previous kernel: no wait needed
  expect_failure([=] { launch("wide", divergent, 1, 2048, 0, p); }, "the hardware allows 1024");
  expect_failure([=] { launch("tall", divergent, dim3(1, 70000), 32, 0, p); }, "does not allow a grid");
  launch("reverse", reverse<true>, 1, 64, 0, p, p + 64);  // and continues after a failure
}

__global__ void warp_things(int* sums, unsigned* ballots, int* counts) {
  int value = static_cast<int>(threadIdx.x);
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  sums[threadIdx.x] = value;
  ballots[threadIdx.x] = __ballot_sync(0xffffffffu, threadIdx.x % 3 == 0);
  const int above = __shfl_down_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1, 8);
  const int below = __shfl_up_sync(0xffffffffu, static_cast<int>(threadIdx.x), 1, 8);
  const int first = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x), 0, 8);
  counts[threadIdx.x] = 10000 * above + 100 * below + first;
  counts[threadIdx.x + 64] = __syncthreads_count(threadIdx.x > 60);
}

TEST(Emulator, WarpCollectivesDoWhatTheHardwareDoes) {
  std::vector<int> sums(64), counts(128);
  std::vector<unsigned> ballots(64);
  launch("warps", warp_things, 1, 64, 0, sums.data(), ballots.data(), counts.data());
  for (int i = 0; i < 64; ++i) {
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(sums[at], i < 32 ? 496 : 1520);
    unsigned expected = 0;
    for (int lane = 0; lane < 32; ++lane) expected |= static_cast<unsigned>((i / 32 * 32 + lane) % 3 == 0) << lane;
    EXPECT_EQ(ballots[at], expected);
    const int above = i % 8 == 7 ? i : i + 1, below = i % 8 == 0 ? i : i - 1;
    EXPECT_EQ(counts[at], 10000 * above + 100 * below + i / 8 * 8);
    EXPECT_EQ(counts[at + 64], 3);
  }
}

}  // namespace
}  // namespace vergence::emulated
