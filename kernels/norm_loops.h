// What the GPU's batch-norm kernels share: how a grid of rows and channels is cut up, and moments merged in double.
#pragma once

#include <initializer_list>

#include "kernels/cuda_loops.h"

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

/// `width` values per channel.
template <int width, class Real>
__device__ void load_channels(const Real* from, std::int64_t k, Real (&to)[width]) {
#pragma unroll
  for (int j = 0; j < width; ++j) to[j] = from[k + j];
}

/// Count, mean and centred sum of squares, merged as by Chan, Golub and LeVeque (1979).
struct Moments {
  double count = 0, mean = 0, squares = 0;

  __device__ void merge(double other_count, double other_mean, double other_squares) {
    if (other_count == 0) return;
    const double total = count + other_count, share = other_count / total, delta = other_mean - mean;
    mean += delta * share;
    squares += other_squares + delta * delta * count * share;
    count = total;
  }
};

/// Partial sums of a block's rows, added in double: partial[unit][s][channel]. All threads of the block must call it.
template <int terms, int width, class Real>
__device__ void store_block_sums(const ColumnPlan& plan, const Place& at, std::int64_t channels,
                                 const Real (&sums)[terms][width], double* partial) {
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
    if (at.row_thread == 0 && at.channel < channels)
      for (int k = 0; k < width; ++k) partial[(at.unit * terms + s) * channels + at.channel + k] = joined[k][thread];
  }
}

// The merging kernels: 8 channels to a block, 32 threads to a channel.
constexpr int merge_channels = 8, merge_phases = 32;

/// The sums of one channel over units [first, last) of partial[unit][terms][channels], in the first thread of a
/// channel, which gets true. All threads of the block must call it.
template <int terms, class P>
__device__ bool merge_sums(std::int64_t first, std::int64_t last, std::int64_t channels, std::int64_t channel,
                           const P* partial, double (&result)[terms]) {
  SHARED(double, joined, [terms][merge_phases][merge_channels]);
  const int phase = threadIdx.x / merge_channels, lane = threadIdx.x % merge_channels;
  for (int s = 0; s < terms; ++s) result[s] = 0;
  if (channel < channels) {
#pragma unroll 4
    for (std::int64_t unit = first + phase; unit < last; unit += merge_phases)
      for (int s = 0; s < terms; ++s)
        result[s] += static_cast<double>(partial[(unit * terms + s) * channels + channel]);
  }
  __syncthreads();  // the sums before these may still be read
  for (int s = 0; s < terms; ++s) joined[s][phase][lane] = result[s];
  __syncthreads();
  if (phase > 0 || channel >= channels) return false;
  for (int s = 0; s < terms; ++s)
    for (int other = 1; other < merge_phases; ++other) result[s] += joined[s][other][lane];
  return true;
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
