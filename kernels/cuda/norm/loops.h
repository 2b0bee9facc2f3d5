// Helpers shared by the GPU's batch-norm kernels: splitting a grid of rows and channels, and merging moments in double.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {

/// Channels per thread: a whole byte of ReLU bits if registers allow it; 16-byte loads each.
template <class T>
constexpr int norm_width = sizeof(T) == 8 ? 4 : 8;

/// Rows that a thread loads before it processes the first, so that enough bytes are in flight: about 32 registers'
/// worth.
template <class T, int width>
constexpr int rows_at_once(int operands) {
  const int rows = 128 / (static_cast<int>(sizeof(T)) * width * operands);
  return rows < 1 ? 1 : rows > 8 ? 8 : rows;
}

/// Calls `f` with std::true_type or std::false_type.
template <class F>
void with_flag(bool flag, F&& f) {
  if (flag)
    f(std::true_type{});
  else
    f(std::false_type{});
}

/// A thread's share: rows first + row_thread, + row_threads, ... below last (counted through all groups) and `width`
/// channels from `channel` on (the block's: from `block_channel` on). Threads past the last channel have no share.
struct ThreadShare {
  std::int64_t unit, group, first, last, block_channel, channel;
  int row_block, row_thread, row_threads;
};

/// The block of the plan that the running block takes: blocks start roughly in order, so `from_end` reverses them.
__device__ inline std::int64_t block_of(const ColumnPlan& plan) {
  return plan.from_end ? std::int64_t{gridDim.x} - 1 - blockIdx.x : std::int64_t{blockIdx.x};
}

/// The share of block `block` in a plan whose groups have `rows` rows each.
__device__ inline ThreadShare share_in(const ColumnPlan& plan, std::int64_t rows, std::int64_t block, int width) {
  ThreadShare at;
  at.unit = quotient(block, plan.column_blocks);
  at.group = quotient(at.unit, plan.row_blocks);
  at.row_threads = 256 / plan.column_threads;
  at.row_thread = static_cast<int>(threadIdx.x) / plan.column_threads;
  at.row_block = static_cast<int>(at.unit - at.group * plan.row_blocks);
  const std::int64_t row = at.row_block * plan.rows_per_block;
  const std::int64_t end = row + plan.rows_per_block < rows ? row + plan.rows_per_block : rows;
  const std::int64_t column_thread = static_cast<int>(threadIdx.x) - at.row_thread * plan.column_threads;
  at.first = at.group * rows + row, at.last = at.group * rows + end;
  at.block_channel = (block - at.unit * plan.column_blocks) * plan.column_threads * width;
  at.channel = at.block_channel + column_thread * width;
  return at;
}

/// Calls `body(rows, present)` for a thread's rows, `at_once` at a time; rows from `present` on repeat the last one.
template <int at_once, class Body>
__device__ void for_rows(const ThreadShare& at, const Body& body) {
  std::int64_t rows[at_once];
  for (std::int64_t row = at.first + at.row_thread; row < at.last; row += at_once * at.row_threads) {
    int present = 0;
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const std::int64_t next = row + i * at.row_threads;
      present += next < at.last;
      rows[i] = next < at.last ? next : at.last - 1;
    }
    body(rows, present);
  }
}

/// Calls `body(places, present)` with the offsets of a thread's rows under a sums_plan, `at_once` at a time; those from
/// `present` on repeat the first. The blocks of a group take turns, from its end on, and so sweep memory together.
template <int at_once, class Body>
__device__ void for_places(const ColumnPlan& plan, const ThreadShare& at, std::int64_t group_rows,
                           std::int64_t channels, const Body& body) {
  const int rows = static_cast<int>(group_rows), row_size = static_cast<int>(channels);
  const int tile = at_once * at.row_threads, step = static_cast<int>(plan.row_blocks) * tile;
  const std::int64_t first = at.group * group_rows * channels + at.channel;
  for (int row = ((rows - 1) / tile - at.row_block) * tile + at.row_thread; row >= 0; row -= step) {
    if (row >= rows) continue;
    std::int64_t places[at_once];
    int present = 0;
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const int next = row + i * at.row_threads;
      present += next < rows;
      places[i] = first + std::int64_t{next < rows ? next : row} * row_size;
    }
    body(places, present);
  }
}

/// A plan for for_places and partial results: 256 blocks (two per multiprocessor of an H100), up to twice as many if
/// threads still have 32 rows. Few blocks, since starting, ending and merging one costs as much as hundreds of rows.
inline ColumnPlan sums_plan(std::int64_t groups, std::int64_t rows, std::int64_t channels, int width) {
  constexpr std::int64_t blocks = 256, max_at_once = 8;
  ColumnPlan plan = column_plan(groups, rows, channels, width);
  const std::int64_t tiles = ceil_div(rows, 256 / plan.column_threads * max_at_once);
  const std::int64_t few = std::max<std::int64_t>(1, blocks / (groups * plan.column_blocks));
  plan.row_blocks = std::min(tiles, std::clamp(tiles / 4, few, 2 * few));
  plan.rows_per_block = ceil_div(rows, plan.row_blocks);
  plan.from_end = true;
  return plan;
}

/// A plan for work without partial results: 16 rows per thread, fewer if multiprocessors would otherwise be idle.
inline ColumnPlan apply_plan(std::int64_t groups, std::int64_t rows, std::int64_t channels, int width) {
  ColumnPlan plan = column_plan(groups, rows, channels, width);
  const std::int64_t row_threads = 256 / plan.column_threads;
  const bool many = groups * plan.column_blocks * ceil_div(rows, row_threads * 16) >= 512;
  plan.rows_per_block = row_threads * (many ? 16 : 4);
  plan.row_blocks = ceil_div(rows, plan.rows_per_block);
  return plan;
}

inline unsigned blocks_of(const ColumnPlan& plan, std::int64_t groups) {
  return static_cast<unsigned>(groups * plan.row_blocks * plan.column_blocks);
}

/// `width` values per channel, from an aligned address where width is norm_width.
template <int width, class Real>
__device__ void load_channels(const Real* from, std::int64_t k, Real (&to)[width]) {
  constexpr int part = width < vector_width<Real> ? width : vector_width<Real>;
#pragma unroll
  for (int j = 0; j < width; j += part) {
    const Pack<Real, part> values = load_pack<part>(from + k + j);
#pragma unroll
    for (int i = 0; i < part; ++i) to[j + i] = values.values[i];
  }
}

/// The values of a pack as Real; those of a pair of bf16 from their word.
template <class Real, class T, int width>
__device__ void widen(const Pack<T, width>& pack, Real (&to)[width]) {
  if constexpr (std::is_same_v<T, bf16> && width % 2 == 0) {
    std::uint32_t pairs[width / 2];
    memcpy(pairs, &pack, sizeof pairs);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const std::uint32_t word = k % 2 == 0 ? pairs[k / 2] << 16 : pairs[k / 2] & 0xffff0000u;
      memcpy(&to[k], &word, sizeof word);
    }
  } else {
#pragma unroll
    for (int k = 0; k < width; ++k) to[k] = static_cast<Real>(pack.values[k]);
  }
}

/// The sums of a block's rows, added in double: over the lanes of a warp with the same channels, then over the warps.
/// Thread i gets those of the block's channel i, if it exists. All threads of the block must call it.
template <int terms, int width, class Real>
__device__ void fold_rows(const ColumnPlan& plan, const Real (&sums)[terms][width], double (&result)[terms]) {
  constexpr int warps = 256 / warp_size, padded = warp_size + 2;  // so that threads read from different banks
  SHARED(double, joined, [warps][width][padded]);
  const int thread = threadIdx.x, warp = thread / warp_size, lane = thread % warp_size;
#pragma unroll
  for (int s = 0; s < terms; ++s) {
    double values[width];
#pragma unroll
    for (int k = 0; k < width; ++k) values[k] = static_cast<double>(sums[s][k]);
    for (int lanes = warp_size / 2; lanes >= plan.column_threads; lanes /= 2)
#pragma unroll
      for (int k = 0; k < width; ++k) values[k] += __shfl_xor_sync(0xffffffffu, values[k], lanes);
    if (s > 0) __syncthreads();  // the previous term may still be in use
#pragma unroll
    for (int k = 0; k < width; ++k)
      if (lane < plan.column_threads) joined[warp][k][lane] = values[k];
    __syncthreads();
    result[s] = 0;
    if (thread < plan.column_threads * width)
#pragma unroll
      for (int other = 0; other < warps; ++other) result[s] += joined[other][thread % width][thread / width];
  }
}

/// Writes the sums of a block's rows to partial[unit][s][channel]. All threads of the block must call it.
template <int terms, int width, class Real>
__device__ void store_block_sums(const ColumnPlan& plan, const ThreadShare& at, std::int64_t channels,
                                 const Real (&sums)[terms][width], double* partial) {
  double result[terms];
  fold_rows(plan, sums, result);
  const std::int64_t channel = at.block_channel + threadIdx.x;
  if (static_cast<int>(threadIdx.x) >= plan.column_threads * width || channel >= channels) return;
#pragma unroll
  for (int s = 0; s < terms; ++s) partial[(at.unit * terms + s) * channels + channel] = result[s];
}

// The merging kernels: a block has few channels, 32 bytes of doubles; its threads split the parts of a channel into
// phases. They mostly wait for memory, so they load everything before its first use.
constexpr int merge_channels = 4, merge_threads = 256, merge_phases = merge_threads / merge_channels;

/// A thread's share in a merging block: parts phase, phase + merge_phases, ... of its channel.
struct MergePlace {
  std::int64_t channel;
  int phase;
};
__device__ inline MergePlace merge_place() {
  const int thread = threadIdx.x;
  return {std::int64_t{blockIdx.x} * merge_channels + thread % merge_channels, thread / merge_channels};
}

/// Sums values[group][term] over all phases in a fixed order: a tree within each warp, then over the warps. The threads
/// of phase i get those of group i. All threads of the block must call it.
template <int groups, int terms>
__device__ void fold_phases(const MergePlace& at, double (&values)[groups * terms], double (&result)[terms]) {
  constexpr int warps = merge_threads / warp_size;
  SHARED(double, of_warps, [groups * terms][warps][merge_channels]);
  const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
  const int channel = lane % merge_channels;
  __syncthreads();  // the previous sums may still be in use
#pragma unroll
  for (int s = 0; s < groups * terms; ++s) {
#pragma unroll
    for (int lanes = warp_size / 2; lanes >= merge_channels; lanes /= 2)
      values[s] += __shfl_xor_sync(0xffffffffu, values[s], lanes);
    if (lane < merge_channels) of_warps[s][warp][channel] = values[s];
  }
  __syncthreads();
  if (at.phase >= groups) return;
#pragma unroll
  for (int s = 0; s < terms; ++s) {
    result[s] = 0;
#pragma unroll
    for (int other = 0; other < warps; ++other) result[s] += of_warps[at.phase * terms + s][other][channel];
  }
}

/// Sums partial[group * parts + part][terms][channels] over the parts of each of `groups` groups from `group` on; the
/// threads of phase i get the sums of group + i in result[terms]. All threads of the block must call it.
template <int groups, int terms, class P>
__device__ void merge_sums(const MergePlace& at, std::int64_t group, std::int64_t parts, std::int64_t channels,
                           const P* partial, double (&result)[terms]) {
  constexpr int at_once = 4;
  double sums[groups * terms] = {};
  const int count = at.channel < channels ? static_cast<int>(parts) : 0, row = static_cast<int>(channels);
  const int group_size = static_cast<int>(parts) * terms * row;
  const P* const from = partial + group * parts * terms * channels + at.channel;
  for (int first = at.phase; first < count; first += at_once * merge_phases) {
    P values[at_once][groups * terms];
#pragma unroll
    for (int j = 0; j < at_once; ++j) {
      const int part = first + j * merge_phases, place = (part < count ? part : first) * terms * row;
#pragma unroll
      for (int i = 0; i < groups * terms; ++i) values[j][i] = from[place + i / terms * group_size + i % terms * row];
    }
#pragma unroll
    for (int j = 0; j < at_once; ++j)
#pragma unroll
      for (int i = 0; i < groups * terms; ++i)
        sums[i] += first + j * merge_phases < count ? static_cast<double>(values[j][i]) : 0.0;
  }
  fold_phases<groups>(at, sums, result);
}

/// The value that `phase` has for the thread's channel. All threads of the warp must call it.
template <class Real>
__device__ Real of_phase(Real value, int phase) {
  return __shfl_sync(0xffffffffu, value, phase * merge_channels + static_cast<int>(threadIdx.x) % merge_channels);
}

/// Calls `f` with the number of groups that a merging block takes at once: 2, so that it waits for memory once, or 1.
template <class F>
void with_groups_at_once(std::int64_t groups, F&& f) {
  if (groups % 2 == 0)
    f(std::integral_constant<int, 2>{});
  else
    f(std::integral_constant<int, 1>{});
}

/// Calls `f` with the channels that a thread takes at once: norm_width, or 1 if channels or addresses are not aligned.
template <class T, class F>
void with_norm_width(const NormShape& shape, std::initializer_list<const void*> arrays, F&& f) {
  bool packs = shape.channels % norm_width<T> == 0;
  for (const void* array : arrays) packs = packs && aligned_to<16>(array);
  if (packs)
    f(std::integral_constant<int, norm_width<T>>{});
  else
    f(std::integral_constant<int, 1>{});
}

}  // namespace vergence::VERGENCE_GPU
