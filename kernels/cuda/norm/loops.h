// What the GPU's batch-norm kernels share: how a grid of rows and channels is cut up, and moments merged in double.
#pragma once

#include <initializer_list>

#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {

/// Channels of one thread: a whole byte of ReLU bits where registers allow; 16-byte loads each.
template <class T>
constexpr int norm_width = sizeof(T) == 8 ? 4 : 8;

/// Rows that a thread loads before it works on the first, so that enough bytes are in flight: about 32 registers'
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

/// Where a thread works: rows first + row_thread, + row_threads, ... below last, counted through all groups; `width`
/// channels from `channel` on. Threads beyond the last channel have none.
struct Place {
  std::int64_t unit, group, first, last, channel;
  int row_thread, row_threads;
};

/// The part of the work that the running block takes: blocks start in their order, about.
__device__ inline std::int64_t block_of(const ColumnPlan& plan) {
  return plan.from_end ? std::int64_t{gridDim.x} - 1 - blockIdx.x : std::int64_t{blockIdx.x};
}

/// The place of block `block` of a plan whose groups have `rows` rows each.
__device__ inline Place place_in(const ColumnPlan& plan, std::int64_t rows, std::int64_t block, int width) {
  Place at;
  at.unit = quotient(block, plan.column_blocks);
  at.group = quotient(at.unit, plan.row_blocks);
  at.row_threads = 256 / plan.column_threads;
  at.row_thread = static_cast<int>(threadIdx.x) / plan.column_threads;
  const std::int64_t row = (at.unit - at.group * plan.row_blocks) * plan.rows_per_block;
  const std::int64_t end = row + plan.rows_per_block < rows ? row + plan.rows_per_block : rows;
  const std::int64_t column_thread = static_cast<int>(threadIdx.x) - at.row_thread * plan.column_threads;
  at.first = at.group * rows + row, at.last = at.group * rows + end;
  at.channel = ((block - at.unit * plan.column_blocks) * plan.column_threads + column_thread) * width;
  return at;
}

/// Calls `body(rows, present)` for a thread's rows, `at_once` at a time; rows from `present` on repeat the last one.
template <int at_once, class Body>
__device__ void for_rows(const Place& at, const Body& body) {
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

/// Work without partial results: each thread gets 16 rows, fewer where multiprocessors would have nothing to do.
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

/// The sums of a block's rows, added in double, in the threads with row_thread 0. All threads of the block must call
/// it.
template <int terms, int width, class Real>
__device__ void fold_rows(const ColumnPlan& plan, const Place& at, const Real (&sums)[terms][width],
                          double (&result)[terms][width]) {
  SHARED(double, joined, [width][256]);
  const int thread = threadIdx.x;
#pragma unroll
  for (int s = 0; s < terms; ++s) {
    __syncthreads();  // the term before this one may still be read
#pragma unroll
    for (int k = 0; k < width; ++k) joined[k][thread] = static_cast<double>(sums[s][k]);
    for (int half = at.row_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (at.row_thread < half)
        for (int k = 0; k < width; ++k) joined[k][thread] += joined[k][thread + half * plan.column_threads];
    }
#pragma unroll
    for (int k = 0; k < width; ++k) result[s][k] = joined[k][thread];
  }
}

/// The same to partial[unit][s][channel].
template <int terms, int width, class Real>
__device__ void store_block_sums(const ColumnPlan& plan, const Place& at, std::int64_t channels,
                                 const Real (&sums)[terms][width], double* partial) {
  double result[terms][width];
  fold_rows(plan, at, sums, result);
  if (at.row_thread > 0 || at.channel >= channels) return;
  for (int s = 0; s < terms; ++s)
    for (int k = 0; k < width; ++k) partial[(at.unit * terms + s) * channels + at.channel + k] = result[s][k];
}

// The merging kernels: 8 channels to a block; its threads share out the parts of a channel, in so many phases.
constexpr int merge_channels = 8;
constexpr unsigned most_merge_threads = 1024;

/// Threads of a merging block: more where it has much to add up.
inline unsigned merge_threads(std::int64_t parts) { return parts > 256 ? most_merge_threads : 256; }

/// Where a thread of a merging block works: it takes parts phase, phase + phases, ... of its channel.
struct MergePlace {
  std::int64_t channel;
  int phase, phases;
};
__device__ inline MergePlace merge_place() {
  const int thread = threadIdx.x;
  return {std::int64_t{blockIdx.x} * merge_channels + thread % merge_channels, thread / merge_channels,
          static_cast<int>(blockDim.x) / merge_channels};
}

/// The sums over all phases, in phase 0, always in the same order: a tree within each warp, then one over the warps.
/// All threads of the block must call it.
template <int terms>
__device__ void fold_phases(double (&values)[terms]) {
  constexpr int most_warps = 1024 / warp_size, parts = warp_size / merge_channels;
  SHARED(double, of_warps, [terms][most_warps][merge_channels]);
  const int warp = static_cast<int>(threadIdx.x) / warp_size, lane = static_cast<int>(threadIdx.x) % warp_size;
  const int warps = static_cast<int>(blockDim.x) / warp_size, channel = lane % merge_channels;
  const auto fold = [&](double value) {
    for (int lanes = warp_size / 2; lanes >= merge_channels; lanes /= 2)
      value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
  };
  __syncthreads();  // the sums before these may still be read
#pragma unroll
  for (int s = 0; s < terms; ++s) {
    values[s] = fold(values[s]);
    if (lane < merge_channels) of_warps[s][warp][channel] = values[s];
  }
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int s = 0; s < terms; ++s) {
    values[s] = 0;
    for (int other = lane / merge_channels; other < warps; other += parts) values[s] += of_warps[s][other][channel];
    values[s] = fold(values[s]);
  }
}

/// The sums of one channel over `parts` parts of each of `at_once` groups from `group` on, in phase 0:
/// partial[group * parts + part][terms][channels] to result[group][terms]. All threads of the block must call it.
template <int at_once, int terms, class P>
__device__ void merge_sums(const MergePlace& at, std::int64_t group, std::int64_t parts, std::int64_t channels,
                           const P* partial, double (&result)[at_once * terms]) {
#pragma unroll
  for (int i = 0; i < at_once * terms; ++i) result[i] = 0;
  if (at.channel < channels) {
#pragma unroll 4
    for (std::int64_t part = at.phase; part < parts; part += at.phases)
#pragma unroll
      for (int i = 0; i < at_once * terms; ++i) {
        const std::int64_t unit = (group + i / terms) * parts + part;
        result[i] += static_cast<double>(partial[(unit * terms + i % terms) * channels + at.channel]);
      }
  }
  fold_phases(result);
}

/// Calls `f` with how many groups a merging block takes at once: 2, so that it waits for memory once, or 1.
template <class F>
void with_groups_at_once(std::int64_t groups, F&& f) {
  if (groups % 2 == 0)
    f(std::integral_constant<int, 2>{});
  else
    f(std::integral_constant<int, 1>{});
}

/// Calls `f` with the channels that one thread may take at once: norm_width, or 1 where channels or addresses are odd.
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
