// Matrix products whose elements are used in place: a block of 256 threads holds one tile of x y^T in registers. For
// kernels that must not store a product; CudaBackend::gemm computes plain products. f32 and f64, without tensor cores:
// a thread reads 2 micro elements from shared memory for every micro^2 multiply-adds.
#pragma once

#include "kernels/cuda/launch.h"

namespace vergence::VERGENCE_GPU {

/// `count` vectors of `depth` values: value k of vector i is values[i * step + k * depth_step]. One step is 1.
template <class Real>
struct Vectors {
  const Real* values;
  std::int64_t count, depth, step, depth_step;
};

/// Threads of a block in a grid of `side` x `side`, each with micro x micro elements of a tile; if `groups` is above 1,
/// that many grids split the depth. Thread t of a side has the elements index(t, 0 ... micro - 1): runs of four.
template <int micro_size, int group_count>
struct TileLayout {
  static constexpr int micro = micro_size, groups = group_count, threads = 256;
  static constexpr int side = groups == 1 ? 16 : 8;
  static constexpr int size = side * micro, pitch = size + 4;
  static_assert(side * side * groups == threads && micro % 4 == 0);

  VERGENCE_BOTH static constexpr int index(int thread, int i) { return i / 4 * (4 * side) + thread * 4 + i % 4; }
  __device__ static int row_thread() { return threadIdx.x / side % side; }
  __device__ static int column_thread() { return threadIdx.x % side; }
  __device__ static int group() { return threadIdx.x / (side * side); }
};

/// Four contiguous values, 16-byte aligned.
template <class Real>
struct alignas(16) Four {
  Real values[4];
};

/// The values of thread `thread` in one line of a panel.
template <int micro, int side, class Real>
__device__ void read_line(const Real* line, int thread, Real (&to)[micro]) {
#pragma unroll
  for (int run = 0; run < micro / 4; ++run) {
    const Four<Real> four = *reinterpret_cast<const Four<Real>*>(line + run * 4 * side + thread * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) to[run * 4 + i] = four.values[i];
  }
}

/// sums[i][j] += sum over `count` lines of a[line][index i of thread_a] b[line][index j of thread_b].
template <int side, int count, int micro_a, int micro_b, class Real, int pitch_a, int pitch_b>
__device__ void multiply_lines(const Real (*a)[pitch_a], int thread_a, const Real (*b)[pitch_b], int thread_b,
                               Real (&sums)[micro_a][micro_b]) {
#pragma unroll
  for (int line = 0; line < count; ++line) {
    Real left[micro_a], right[micro_b];
    read_line<micro_a, side>(a[line], thread_a, left);
    read_line<micro_b, side>(b[line], thread_b, right);
#pragma unroll
    for (int i = 0; i < micro_a; ++i)
#pragma unroll
      for (int j = 0; j < micro_b; ++j) sums[i][j] += left[i] * right[j];
  }
}

/// to[k][i] = value depth_from + k of vector first + i, for `width` vectors; 0 past the ends. Neighboring threads read
/// along the depth if that is contiguous.
template <bool along_depth, int width, int chunk, class Real, int pitch>
__device__ void load_panel(const Vectors<Real>& from, std::int64_t first, std::int64_t depth_from,
                           Real (&to)[chunk][pitch]) {
  static_assert(width * chunk % 256 == 0 && 256 % (along_depth ? chunk : width) == 0);
  constexpr int next_i = along_depth ? 256 / chunk : 0, next_k = along_depth ? 0 : 256 / width;
  const int thread = threadIdx.x;
  const int i = along_depth ? thread / chunk : thread % width, k = along_depth ? thread % chunk : thread / width;
  const Real* values = from.values + (first + i) * from.step + (depth_from + k) * from.depth_step;
  const std::int64_t next = next_i * from.step + next_k * from.depth_step;
  const std::int64_t vectors = from.count - first - i, depth = from.depth - depth_from - k;
#pragma unroll
  for (int round = 0; round < width * chunk / 256; ++round)
    to[k + round * next_k][i + round * next_i] =
        round * next_i < vectors && round * next_k < depth ? values[round * next] : Real(0);
}

/// sums += the thread's part of the products of x's vectors from first_x on with y's from first_y on. With several
/// groups, sum_groups must follow. All threads must call it.
template <class Layout, bool along_depth, class Real>
__device__ void add_products(const Vectors<Real>& x, std::int64_t first_x, const Vectors<Real>& y, std::int64_t first_y,
                             Real (&sums)[Layout::micro][Layout::micro]) {
  constexpr int chunk = 64 / static_cast<int>(sizeof(Real)), share = chunk / Layout::groups;
  SHARED(Real, left, [chunk][Layout::pitch]);
  SHARED(Real, right, [chunk][Layout::pitch]);
  const int from = Layout::group() * share;
  for (std::int64_t depth = 0; depth < x.depth; depth += chunk) {
    __syncthreads();  // the previous panels may still be in use
    load_panel<along_depth, Layout::size>(x, first_x, depth, left);
    load_panel<along_depth, Layout::size>(y, first_y, depth, right);
    __syncthreads();
    multiply_lines<Layout::side, share>(left + from, Layout::row_thread(), right + from, Layout::column_thread(), sums);
  }
}

/// Adds up the groups' sums into group 0. All threads must call it.
template <class Layout, class Real>
__device__ void sum_groups(Real (&sums)[Layout::micro][Layout::micro]) {
  if constexpr (Layout::groups > 1) {
    constexpr int per_group = Layout::threads / Layout::groups;
    SHARED(Real, parts, [Layout::micro][Layout::threads]);
    for (int i = 0; i < Layout::micro; ++i) {
      __syncthreads();
      for (int j = 0; j < Layout::micro; ++j) parts[j][threadIdx.x] = sums[i][j];
      __syncthreads();
      if (Layout::group() == 0)
        for (int j = 0; j < Layout::micro; ++j)
          for (int other = 1; other < Layout::groups; ++other) sums[i][j] += parts[j][threadIdx.x + other * per_group];
    }
  }
}

}  // namespace vergence::VERGENCE_GPU
