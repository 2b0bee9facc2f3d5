// Helpers shared by the convolutions on tensor cores: a block's eight warps and their part of a tile, the pipeline of
// stages in shared memory, products of fragments.
#pragma once

#include "kernels/cuda/conv/kernels.h"
#include "kernels/cuda/conv/walk.h"
#include "kernels/cuda/ptx.h"

namespace vergence::VERGENCE_GPU {

constexpr int threads_of_block = 256, stages = 3, chunks_deep = 4;

/// Elements in the depth of a stage.
template <class T>
constexpr int depth_of_stage = 16 * chunks_deep / static_cast<int>(sizeof(T));

/// The eight warps are arranged `down` x `across` over a tile; each has 16 * fragments rows by 32 columns.
template <int rows, int cols>
struct Warps {
  static constexpr int across = cols / 32, down = 8 / across, fragments = rows / down / 16;
};

/// A warp's part of the result: 16x8 matrices.
template <int fragments>
using WarpSums = float[fragments][4][4];

__device__ inline int lane_of_thread() { return static_cast<int>(threadIdx.x) % warp_size; }
__device__ inline int warp_of_thread() { return static_cast<int>(threadIdx.x) / warp_size; }

/// The product of fragments: 32 bytes of depth. b: for each pair of 16x8 matrices, both halves of each.
template <class T, int fragments>
__device__ void multiply(WarpSums<fragments>& sums, unsigned (&a)[fragments][4], unsigned (&b)[2][4]) {
  if constexpr (std::is_same_v<T, float>) {
#pragma unroll
    for (int i = 0; i < fragments; ++i)
      for (int k = 0; k < 4; ++k) a[i][k] = to_tf32(a[i][k]);
#pragma unroll
    for (int j = 0; j < 2; ++j)
      for (int k = 0; k < 4; ++k) b[j][k] = to_tf32(b[j][k]);
  }
#pragma unroll
  for (int i = 0; i < fragments; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if constexpr (std::is_same_v<T, float>)
        multiply_tf32(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
      else
        multiply_bf16(sums[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
}

/// The position of a chunk in a wide tile: one row of `chunks` chunks (8 or a multiple) per step of depth. The swizzle
/// puts what one load reads in different banks: a column of chunks over 8 rows (bf16), two columns over 4 rows (f32).
template <class T>
__device__ int wide_chunk(int row, int chunk, int chunks) {
  return row * chunks + (chunk ^ (std::is_same_v<T, float> ? (row & 3) * 2 : row & 7));
}

/// Loads fragments from a wide tile: 16 columns of it (rows of the product, or two matrices of columns) by 32 bytes of
/// depth. `rows_first`: the order in which the four registers go through them.
template <class T, bool rows_first>
__device__ void load_wide(unsigned (&values)[4], const uint4* tile, int chunks, int first_col, int slice) {
  const int lane = lane_of_thread();
  if constexpr (std::is_same_v<T, bf16>) {
    const int low = lane / 8 % 2, high = lane / 16;
    const int row = slice * 16 + (rows_first ? high : low) * 8 + lane % 8;
    const int chunk = first_col / 8 + (rows_first ? low : high);
    load_matrices_transposed(values, tile + wide_chunk<T>(row, chunk, chunks));
  } else {
    const auto* words = reinterpret_cast<const unsigned*>(tile);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = slice * 8 + (rows_first ? i / 2 : i % 2) * 4 + lane % 4;
      const int col = first_col + (rows_first ? i % 2 : i / 2) * 8 + lane / 4;
      values[i] = words[wide_chunk<T>(row, col / 4, chunks) * 4 + col % 4];
    }
  }
}

/// Runs the pipeline: `load(stage)` starts the copies of the next depth into a stage, `multiply(stage)` uses it.
template <class Load, class Multiply>
__device__ void run_stages(int steps, const Load& load, const Multiply& multiply) {
  for (int ahead = 0; ahead < stages - 1; ++ahead) {
    if (ahead < steps) load(ahead);
    commit_copies();
  }
  int stage = 0;
  for (int step = 0; step < steps; ++step) {
    wait_for_copies<stages - 2>();
    __syncthreads();  // the stage has arrived, and all threads are done with the previous one, which is filled next
    if (step + stages - 1 < steps) load(stage == 0 ? stages - 1 : stage - 1);
    commit_copies();
    multiply(stage);
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
  wait_for_copies<0>();
}

/// Calls f(row, column, two neighboring sums) for each pair that the thread has.
template <int rows, int cols, class F>
__device__ void for_each_pair(const WarpSums<Warps<rows, cols>::fragments>& sums, const F& f) {
  using Layout = Warps<rows, cols>;
  const int lane = lane_of_thread(), warp = warp_of_thread();
  const int first_row = warp / Layout::across * Layout::fragments * 16 + lane / 4;
  const int first_col = warp % Layout::across * 32 + lane % 4 * 2;
#pragma unroll
  for (int i = 0; i < Layout::fragments; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int j = 0; j < 4; ++j)
        f(first_row + i * 16 + half * 8, first_col + j * 8, sums[i][j][2 * half], sums[i][j][2 * half + 1]);
}

/// The common requirements: a type that tensor cores multiply, 16-byte vectors of channels, and a pixel count within
/// int.
inline bool tensor_fits(const ConvShape& shape, DType type, std::int64_t channels, ConstArray source) {
  return shape.groups == 1 && (type == DType::bf16 || type == DType::f32) && channels % (16 / size_of(type)) == 0 &&
         aligned_to<16>(source.data) && source.size / channels < std::int64_t{1} << 31;
}

}  // namespace vergence::VERGENCE_GPU
