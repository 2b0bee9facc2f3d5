// A CUDA device in plain C++: the .cu sources compile against this header and run with every thread of a block as a
// fiber. Blocks run one after the other. So do the threads of a block between two barriers, in an order that changes
// from launch to launch: ascending, descending, or one of two random orders. Warps advance together from collective to
// collective, or one after the other up to the next barrier.
//
// What it detects; an exception from `launch` names the kernel and, if known, the block and the thread:
//   - a barrier that only some threads of a block reach, or two different barriers at once;
//   - warp collectives that some lanes of their mask do not reach, or that leave themselves out of it;
//   - `launch_early` kernels that use shared memory, a barrier or a collective before they wait, or never wait;
//   - asynchronous copies (cp.async) that a thread never waits for;
//   - writes past the ends of shared arrays (guard bytes; with AddressSanitizer at the very access);
//   - launches that the hardware refuses or may refuse: too many threads, too large a grid, too much shared memory.
// Reads of shared memory that nobody wrote give NaN or -1: the block's shared memory starts out as 0xff bytes.
// A missing barrier gives results that depend on the order of the threads. cp.async copies only when waited for.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>

// ---- the language. These names are CUDA's own.
// NOLINTBEGIN
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __grid_constant__

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

namespace vergence::emulated {

/// The running thread, as the kernel sees it.
struct Thread {
  uint3 thread_index, block_index;
  dim3 block_dim, grid_dim;
};
extern Thread* running;

using Stream = int;

/// Waits for all threads of the block; returns how many gave a non-zero predicate. `file`, `line`: where, for reports.
int barrier_count(const char* file, int line, int predicate);

/// The values that the lanes of a warp passed to a collective: 32 slots of `slot_bytes`.
constexpr std::size_t slot_bytes = 64;
struct Deposits {
  const unsigned char* slots;
  template <class T>
  T from(unsigned lane) const {
    T value;
    std::memcpy(&value, slots + (lane & 31u) * slot_bytes, sizeof value);
    return value;
  }
};
/// Passes `value` to the lanes of `mask` and waits until all of them have done so at the same place.
Deposits exchange_bytes(unsigned mask, const void* value, std::size_t bytes, const char* name);
template <class T>
Deposits exchange(unsigned mask, const T& value, const char* name) {
  static_assert(sizeof(T) <= slot_bytes);
  return exchange_bytes(mask, &value, sizeof value, name);
}
/// The running thread's lane in its warp.
unsigned lane();

/// The block's shared array of one declaration: the same block for every thread of the block, 16-byte aligned, of
/// exactly this size, full of 0xff bytes when the block starts.
void* shared_array(const void* declaration, std::size_t bytes, const char* name);

/// cp.async: copies queued by the running thread, done when a group is waited for.
void async_copy(void* shared, const void* global, int bytes, int valid_bytes);
void async_commit();
void async_wait(int groups_left);

/// Every thread of a kernel that is launched early must call this first.
void waited_for_kernel_before();

struct LaunchSite {
  const char* name;
  dim3 grid, block;
  bool early = false;
};
/// Runs `body` once per thread of the grid; during a capture, records it instead.
void run_grid(const LaunchSite& site, std::function<void()> body);

template <class... Parameters, class... Arguments>
void start(const LaunchSite& site, void (*kernel)(Parameters...), Arguments... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments));
  const std::tuple<Parameters...> converted(arguments...);
  run_grid(site, [kernel, converted] { std::apply(kernel, converted); });
}

template <class... Parameters, class... Arguments>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream, Arguments... arguments) {
  start({name, grid, block}, kernel, arguments...);
}

template <class... Parameters, class... Arguments>
void launch_early(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, Stream,
                  Arguments... arguments) {
  start({name, grid, block, true}, kernel, arguments...);
}

/// Called with each kernel's name when it is launched or recorded; tests use it to see what runs.
extern void (*launch_observer)(const char* kernel);

/// How threads are ordered between barriers. `changing` (the default) cycles through the others from launch to launch.
enum class ThreadOrder { ascending, descending, random_1, random_2, changing };
void set_thread_order(ThreadOrder order);

}  // namespace vergence::emulated

#define threadIdx (::vergence::emulated::running->thread_index)
#define blockIdx (::vergence::emulated::running->block_index)
#define blockDim (::vergence::emulated::running->block_dim)
#define gridDim (::vergence::emulated::running->grid_dim)

#define SHARED(type, name, extents)                             \
  using name##_shared_type = type extents;                      \
  static const char name##_declaration = 0;                     \
  name##_shared_type& name = *static_cast<name##_shared_type*>( \
      ::vergence::emulated::shared_array(&name##_declaration, sizeof(name##_shared_type), #name))

#define __syncthreads() static_cast<void>(::vergence::emulated::barrier_count(__FILE__, __LINE__, 0))
#define __syncthreads_count(predicate) ::vergence::emulated::barrier_count(__FILE__, __LINE__, predicate)
#define __syncthreads_or(predicate) (::vergence::emulated::barrier_count(__FILE__, __LINE__, predicate) > 0)
inline void __syncwarp(unsigned mask = 0xffffffffu) { vergence::emulated::exchange(mask, 0, "__syncwarp"); }
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  const auto given = vergence::emulated::exchange(mask, value, "__shfl_sync");
  const unsigned lane = vergence::emulated::lane(), first = lane & ~static_cast<unsigned>(width - 1);
  return given.template from<T>(first + (static_cast<unsigned>(from) & static_cast<unsigned>(width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const auto given = vergence::emulated::exchange(mask, value, "__shfl_xor_sync");
  const unsigned lane = vergence::emulated::lane(), from = lane ^ static_cast<unsigned>(lanes);
  return given.template from<T>(
      (from & ~static_cast<unsigned>(width - 1)) == (lane & ~static_cast<unsigned>(width - 1)) ? from : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const auto given = vergence::emulated::exchange(mask, value, "__shfl_down_sync");
  const unsigned lane = vergence::emulated::lane(), within = lane & static_cast<unsigned>(width - 1);
  return given.template from<T>(within + delta < static_cast<unsigned>(width) ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  const auto given = vergence::emulated::exchange(mask, value, "__shfl_up_sync");
  const unsigned lane = vergence::emulated::lane(), within = lane & static_cast<unsigned>(width - 1);
  return given.template from<T>(within >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  const auto given = vergence::emulated::exchange(mask, predicate, "__ballot_sync");
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1u) bits |= (given.from<int>(lane) != 0 ? 1u : 0u) << lane;
  return bits;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __clz(int bits) { return bits ? __builtin_clz(static_cast<unsigned>(bits)) : 32; }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
template <class T>
T __ldg(const T* address) {
  return *address;
}
inline float __int_as_float(int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline int __float_as_int(float value) {
  int bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) { return __int_as_float(static_cast<int>(bits)); }
inline unsigned __float_as_uint(float value) { return static_cast<unsigned>(__float_as_int(value)); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __saturatef(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x == x ? x : 0.0f; }
// NOLINTEND
