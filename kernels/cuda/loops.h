// Helpers shared by the GPU kernels: 16-byte vectors, sums over a warp and a block, and column sums of (rows, cols)
// grids in a fixed order.
#pragma once

#include <limits>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/ptx.h"

namespace vergence::VERGENCE_GPU {

/// Elements of type T in 16 bytes.
template <class T>
constexpr int vector_width = 16 / static_cast<int>(sizeof(T));

/// 16 bytes of elements: what one thread loads or stores at once.
template <class T>
struct alignas(16) Vector {
  T values[vector_width<T>];
};

template <std::size_t bytes>
VERGENCE_BOTH bool aligned_to(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

/// The thread's number in the grid, and the number of threads: for (i = grid_thread(); i < size; i += grid_threads()).
__device__ inline std::int64_t grid_thread() { return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }
__device__ inline std::int64_t grid_threads() { return std::int64_t{gridDim.x} * blockDim.x; }

/// Loads from and stores to 16-byte aligned addresses.
template <class T>
__device__ Vector<T> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T>*>(from);
}
template <class T>
__device__ void store_vector(T* to, const Vector<T>& value) {
  *reinterpret_cast<Vector<T>*>(to) = value;
}

/// How values are folded into one: added, or the largest kept (NaN if any is NaN).
struct Adding {
  template <class Real>
  VERGENCE_BOTH static Real start() {
    return Real(0);
  }
  template <class Real>
  VERGENCE_BOTH static Real join(Real a, Real b) {
    return a + b;
  }
};
struct Largest {
  template <class Real>
  VERGENCE_BOTH static Real start() {
    return -std::numeric_limits<Real>::infinity();
  }
  template <class Real>
  VERGENCE_BOTH static Real join(Real a, Real b) {
    return b > a || b != b ? b : a;
  }
};

/// Folds over groups of `lanes` neighboring lanes (a power of two), in every lane, always in the same order.
template <class Fold, class Real>
__device__ Real warp_fold(Real value, int lanes = warp_size) {
  for (lanes /= 2; lanes > 0; lanes /= 2) value = Fold::join(value, __shfl_xor_sync(0xffffffffu, value, lanes));
  return value;
}

/// Folds over a block of `threads` threads, in every thread, always in the same order. All threads must call it.
template <class Fold, int threads, class Real>
__device__ Real block_fold(Real value) {
  SHARED(Real, of_warps, [threads / warp_size]);
  value = warp_fold<Fold>(value);
  __syncthreads();  // the previous fold may still be in use
  if (threadIdx.x % warp_size == 0) of_warps[threadIdx.x / warp_size] = value;
  __syncthreads();
  value = of_warps[0];
  for (int warp = 1; warp < threads / warp_size; ++warp) value = Fold::join(value, of_warps[warp]);
  return value;
}

/// `width` consecutive elements, loaded and stored at once if that is at most 16 bytes.
template <class T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Pack {
  T values[width];
};
/// The values, rounded to T. bf16 in pairs: one by one they would go through a slow unit.
template <class T, int width, class Real>
__device__ Pack<T, width> pack_of(const Real (&values)[width]) {
  Pack<T, width> pack;
  if constexpr (std::is_same_v<T, bf16> && width % 2 == 0) {
    std::uint32_t pairs[width / 2];
#pragma unroll
    for (int k = 0; k < width / 2; ++k) pairs[k] = round_pair_to_bf16(values[2 * k], values[2 * k + 1]);
    memcpy(&pack, pairs, sizeof pack);
  } else {
#pragma unroll
    for (int k = 0; k < width; ++k) pack.values[k] = static_cast<T>(values[k]);
  }
  return pack;
}
template <int width, class T>
__device__ Pack<T, width> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, width>*>(from);
}
template <class T, int width>
__device__ void store_pack(T* to, const Pack<T, width>& value) {
  if constexpr (sizeof(value) % 16 == 0) {
#pragma unroll
    for (std::size_t i = 0; i < sizeof(value) / 16; ++i) {
      unsigned words[4];
      memcpy(words, reinterpret_cast<const char*>(&value) + 16 * i, sizeof words);
      store_16_bytes(reinterpret_cast<char*>(to) + 16 * i, words);
    }
  } else {
    *reinterpret_cast<Pack<T, width>*>(to) = value;
  }
}

/// a / b for non-negative numbers; in 32 bits, which is several times faster, if both fit.
__device__ inline std::int64_t quotient(std::int64_t a, std::int64_t b) {
  if (((a | b) >> 32) == 0) return static_cast<std::uint32_t>(a) / static_cast<std::uint32_t>(b);
  return a / b;
}

// ---- folds along rows: one result per (group, column) of groups of `rows` rows of `cols` columns

/// The smallest power of two that is at least `count`, but at most a warp.
inline int lanes_for(std::int64_t count) {
  int lanes = 1;
  while (lanes < count && lanes < warp_size) lanes *= 2;
  return lanes;
}

/// How such a fold is split: depends only on the shape, and so does the order of additions. A block has
/// `column_threads` threads side by side, each with `width` columns; the others of its 256 threads take other rows.
struct ColumnPlan {
  int column_threads = 1;
  std::int64_t column_blocks = 1, row_blocks = 1, rows_per_block = 1;
  bool from_end = false;  // true if the first blocks take the last rows; see block_of
};

inline ColumnPlan column_plan(std::int64_t groups, std::int64_t rows, std::int64_t cols, int width) {
  constexpr std::int64_t max_blocks = 1024, rows_per_thread = 8;
  ColumnPlan plan;
  const std::int64_t threads = ceil_div(cols, width);
  plan.column_threads = lanes_for(threads);
  plan.column_blocks = ceil_div(threads, plan.column_threads);
  const std::int64_t wanted = ceil_div(rows, 256 / plan.column_threads * rows_per_thread);
  const std::int64_t most = max_blocks / (groups * plan.column_blocks);
  plan.row_blocks = wanted < most ? wanted : most;
  if (plan.row_blocks <= 1) return {plan.column_threads, plan.column_blocks, 1, rows};
  plan.rows_per_block = ceil_div(rows, plan.row_blocks);
  plan.row_blocks = ceil_div(rows, plan.rows_per_block);
  return plan;
}

/// Stores the result of a fold with one group and one term.
template <class T>
struct StoreColumn {
  T* out;
  __device__ void operator()(std::int64_t, std::int64_t column, const double (&result)[1]) const {
    out[column] = static_cast<T>(static_cast<Compute<T>>(result[0]));
  }
};

/// The first pass, one block per (group, row block, column block). `term.add(row, column, part)` folds the terms of
/// `width` elements, from `column` on, into Real part[terms][width]; rows count through all groups.
template <class Fold, int terms, int width, class Real, class Term, class Finish>
__global__ void fold_columns(ColumnPlan plan, std::int64_t rows, std::int64_t cols, Term term, double* partial,
                             Finish finish) {
  constexpr int rows_at_once = 8;  // folded in Real; beyond that, in double
  SHARED(double, joined, [width][256]);
  const std::int64_t unit = blockIdx.x / plan.column_blocks, column_block = blockIdx.x - unit * plan.column_blocks;
  const std::int64_t group = unit / plan.row_blocks, first = (unit - group * plan.row_blocks) * plan.rows_per_block;
  const std::int64_t last = first + plan.rows_per_block < rows ? first + plan.rows_per_block : rows;
  const int thread = threadIdx.x, row_threads = 256 / plan.column_threads;
  const int row_thread = thread / plan.column_threads, column_thread = thread - row_thread * plan.column_threads;
  const std::int64_t column = (column_block * plan.column_threads + column_thread) * width;
  double sums[terms][width];
  for (int s = 0; s < terms; ++s)
    for (int k = 0; k < width; ++k) sums[s][k] = Fold::template start<double>();
  for (std::int64_t row = first + row_thread; row < last && column < cols;) {
    Real part[terms][width];
    for (int s = 0; s < terms; ++s)
      for (int k = 0; k < width; ++k) part[s][k] = Fold::template start<Real>();
    for (int i = 0; i < rows_at_once; ++i, row += row_threads)
      if (row < last) term.add(group * rows + row, column, part);
    for (int s = 0; s < terms; ++s)
      for (int k = 0; k < width; ++k) sums[s][k] = Fold::join(sums[s][k], static_cast<double>(part[s][k]));
  }
  for (int s = 0; s < terms; ++s) {
    for (int k = 0; k < width; ++k) joined[k][thread] = sums[s][k];
    for (int half = row_threads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (row_thread < half)
        for (int k = 0; k < width; ++k)
          joined[k][thread] = Fold::join(joined[k][thread], joined[k][thread + half * plan.column_threads]);
    }
    for (int k = 0; k < width; ++k) sums[s][k] = joined[k][thread];
    __syncthreads();
  }
  if (row_thread > 0 || column >= cols) return;
  for (int k = 0; k < width; ++k) {
    double result[terms];
    for (int s = 0; s < terms; ++s) result[s] = sums[s][k];
    if (plan.row_blocks == 1)
      finish(group, column + k, result);
    else
      for (int s = 0; s < terms; ++s) partial[(unit * terms + s) * cols + column + k] = result[s];
  }
}

/// The second pass: 8 columns per block, 32 threads per column.
template <class Fold, int terms, class Finish>
__global__ void finish_columns(std::int64_t row_blocks, std::int64_t cols, const double* partial, Finish finish) {
  constexpr int width = 8, phases = 32;
  SHARED(double, joined, [terms][phases][width]);
  const std::int64_t column_blocks = ceil_div(cols, width), group = blockIdx.x / column_blocks;
  const int phase = threadIdx.x / width, lane = threadIdx.x % width;
  const std::int64_t column = (blockIdx.x - group * column_blocks) * width + lane;
  for (int s = 0; s < terms; ++s) {
    double sum = Fold::template start<double>();
    for (std::int64_t block = phase; block < row_blocks && column < cols; block += phases)
      sum = Fold::join(sum, partial[((group * row_blocks + block) * terms + s) * cols + column]);
    joined[s][phase][lane] = sum;
  }
  __syncthreads();
  if (phase > 0 || column >= cols) return;
  double result[terms];
  for (int s = 0; s < terms; ++s) {
    result[s] = joined[s][0][lane];
    for (int other = 1; other < phases; ++other) result[s] = Fold::join(result[s], joined[s][other][lane]);
  }
  finish(group, column, result);
}

/// Calls `finish(group, column, double (&result)[terms])` on the device for every group and column. With `width` above
/// 1, `cols` must be a multiple of it and `term` may load packs.
template <class Fold, int terms, int width, class Real, class Term, class Finish>
void fold_along_rows(Device& device, const char* name, std::int64_t groups, std::int64_t rows, std::int64_t cols,
                     Term term, Finish finish) {
  const ColumnPlan plan = column_plan(groups, rows, cols, width);
  const bool once = plan.row_blocks == 1;
  const Scratch<double> partial(device, once ? 0 : groups * plan.row_blocks * terms * cols);
  const std::int64_t blocks = groups * plan.row_blocks * plan.column_blocks;
  launch(name, fold_columns<Fold, terms, width, Real, Term, Finish>, static_cast<unsigned>(blocks), 256,
         device.stream(), plan, rows, cols, term, partial.data(), finish);
  if (!once)
    launch(name, finish_columns<Fold, terms, Finish>, static_cast<unsigned>(groups * ceil_div(cols, 8)), 256,
           device.stream(), plan.row_blocks, cols, partial.data(), finish);
}

}  // namespace vergence::VERGENCE_GPU
