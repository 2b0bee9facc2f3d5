// The weight gradient of 8 channels by 3 x 3 taps, bf16, on tensor cores: the counterpart of tensor_narrow.cu. Such a
// layer uses only 72 of the 128 (tap, channel) pairs of tensor_weight.cu's tile, and half of that kernel's instructions
// locate sources. Here a warp keeps all 64 x 72 sums in registers and walks along its own pixels, 16 per step: a lane
// looks up one pixel for five taps. Two warps make a block, whose sums are one split. 1024 images of 32 x 32, 64
// channels out, on an H200: 51 us (tensor_weight.cu: 87 us); bounds: 37 us by HBM (151 MB), 15 us by instructions
// issued, 20 us by products.
#include "kernels/cuda/conv/tiles.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int narrow_weight_warps = 2, narrow_weight_blocks = 4, pixels_of_step = 16;
constexpr int narrow_depth = 9, narrow_rows = 64, narrow_cols = 8 * narrow_depth;
constexpr int chunks_of_cotangents = pixels_of_step * narrow_rows / 8;
constexpr int chunks_of_sources = pixels_of_step * (narrow_depth + 1);  // an even number of taps

/// Copies a warp's steps, one after another: cotangents as [pixel][chunk of channels], sources as [tap][pixel].
struct NarrowStepLoader {
  static constexpr int taps = (narrow_depth + 1) / 2;  // of a lane: every second tap
  const ConvSizes& sizes;
  const ConvWalk& walk;
  const bf16 *x, *g;
  const bf16* of_lane;  // its chunk of g at its first pixel
  int rows[taps], cols[taps];
  ConvPixel at, step;
  std::int64_t pixel;  // the step's first pixel
  std::int64_t last;

  __device__ NarrowStepLoader(const ConvSizes& sizes, const ConvWalk& walk, const bf16* x, const bf16* g,
                              std::int64_t first, std::int64_t last)
      : sizes(sizes),
        walk(walk),
        x(x),
        g(g),
        of_lane(g + (first + lane_of_thread() / 8) * sizes.out_channels + lane_of_thread() % 8 * 8),
        at(pixel_of(walk, first + lane_of_thread() % pixels_of_step)),
        step(pixel_of(walk, narrow_weight_warps * pixels_of_step)),
        pixel(first),
        last(last) {
#pragma unroll
    for (int i = 0; i < taps; ++i) {
      const int tap = 2 * i + lane_of_thread() / pixels_of_step;
      rows[i] = tap < narrow_depth ? tap / 3 * sizes.dilation : nowhere;
      cols[i] = tap % 3 * sizes.dilation;
    }
  }

  __device__ void operator()(uint4* to) {
    const int lane = lane_of_thread();
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int row = lane / 8 + 4 * e, chunk = lane % 8;
      const bool valid = pixel + row < last;
      begin_copy(to + wide_chunk<bf16>(row, chunk, 8), valid ? of_lane + 4 * e * sizes.out_channels : g, valid);
    }
    const ConvOrigin origin = pixel + lane % pixels_of_step < last ? origin_of(walk, at) : ConvOrigin{0, nowhere, 0};
#pragma unroll
    for (int i = 0; i < taps; ++i) {
      const int row = origin.row + rows[i], col = origin.col + cols[i];
      const bool valid = static_cast<unsigned>(row) < static_cast<unsigned>(sizes.in_height) &&
                         static_cast<unsigned>(col) < static_cast<unsigned>(sizes.in_width);
      const int source = (origin.image * sizes.in_height + row) * sizes.in_width + col;
      begin_copy(to + chunks_of_cotangents + i * warp_size + lane, valid ? x + std::int64_t{source} * 8 : x, valid);
    }
    pixel += narrow_weight_warps * pixels_of_step;
    of_lane += narrow_weight_warps * pixels_of_step * std::int64_t{sizes.out_channels};
    advance(walk, step, at);
  }
};

/// The sums of 64 output channels by 72 (tap, channel) pairs.
using NarrowWeightSums = float[4][narrow_depth][4];

__device__ inline void multiply_narrow_step(const uint4* from, NarrowWeightSums& sums) {
  unsigned a[4][4];
#pragma unroll
  for (int i = 0; i < 4; ++i) load_wide<bf16, true>(a[i], from, 8, i * 16, 0);
#pragma unroll
  for (int tap = 0; tap < narrow_depth; tap += 2) {
    unsigned b[4];
    load_matrices_transposed(b, from + chunks_of_cotangents + tap * pixels_of_step + lane_of_thread());
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      multiply_bf16(sums[i][tap], a[i], b[0], b[1]);
      if (tap + 1 < narrow_depth) multiply_bf16(sums[i][tap + 1], a[i], b[2], b[3]);
    }
  }
}

/// Adds the second warp's sums to the first one's.
__device__ inline void join_warps(float* shared, NarrowWeightSums& sums) {
  float* const mine = shared + lane_of_thread();
  __syncthreads();  // the steps' memory is reused
  if (warp_of_thread() == 1)
#pragma unroll
    for (int k = 0; k < 16 * narrow_depth; ++k)
      mine[k * warp_size] = sums[k / (4 * narrow_depth)][k / 4 % narrow_depth][k % 4];
  __syncthreads();
  if (warp_of_thread() == 0)
#pragma unroll
    for (int k = 0; k < 16 * narrow_depth; ++k)
      sums[k / (4 * narrow_depth)][k / 4 % narrow_depth][k % 4] += mine[k * warp_size];
}

/// 64 output channels per block, over one split of the pixels: partial[split][output channel][tap][input channel].
__global__ void __launch_bounds__(narrow_weight_warps* warp_size, narrow_weight_blocks)
    conv_tensor_narrow_weight(ConvSizes sizes, std::int64_t pixels_per_split, const bf16* x, const bf16* g,
                              float* partial) {
  constexpr int chunks_of_step = chunks_of_cotangents + chunks_of_sources;
  SHARED(uint4, memory, [narrow_weight_warps * stages * chunks_of_step]);
  const unsigned row_blocks = static_cast<unsigned>(sizes.out_channels) / narrow_rows;
  const unsigned split = blockIdx.x / row_blocks;
  const int first_row = static_cast<int>(blockIdx.x - split * row_blocks) * narrow_rows, warp = warp_of_thread();
  const ConvWalk walk = conv_walk<false>(sizes, 0);
  const std::int64_t first = split * pixels_per_split;
  const std::int64_t last = first + pixels_per_split < walk.pixels ? first + pixels_per_split : walk.pixels;

  NarrowWeightSums sums = {};
  NarrowStepLoader load(sizes, walk, x, g + first_row, first + warp * pixels_of_step, last);
  uint4* const of_warp = memory + warp * stages * chunks_of_step;
  run_stages(
      first < last ? static_cast<int>(ceil_div(last - first, narrow_weight_warps * pixels_of_step)) : 0,
      [&](int stage) { load(of_warp + stage * chunks_of_step); },
      [&](int stage) { multiply_narrow_step(of_warp + stage * chunks_of_step, sums); });
  join_warps(reinterpret_cast<float*>(memory), sums);
  if (warp > 0) return;
  const int lane = lane_of_thread();
  float* const to = partial + (std::int64_t{split} * sizes.out_channels + first_row) * narrow_cols;
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int tap = 0; tap < narrow_depth; ++tap)
        store_pack(to + (i * 16 + half * 8 + lane / 4) * narrow_cols + tap * 8 + lane % 4 * 2,
                   Pack<float, 2>{{sums[i][tap][2 * half], sums[i][tap][2 * half + 1]}});
}

}  // namespace

void narrow_conv2d_weight(Device& device, const ConvShape& shape, const bf16* x, const bf16* g, Array dw) {
  constexpr std::int64_t least = 256, unit = narrow_weight_warps * pixels_of_step;  // pixels of a split
  const std::int64_t pixels = shape.batch * shape.out_height() * shape.out_width();
  const std::int64_t row_blocks = shape.out_channels / narrow_rows;
  const std::int64_t wave = ceil_div(std::int64_t{device.multiprocessors()} * narrow_weight_blocks, row_blocks);
  const std::int64_t even = ceil_div(ceil_div(pixels, wave), unit) * unit, per_split = even < least ? least : even;
  const std::int64_t splits = ceil_div(pixels, per_split);
  const Scratch<float> partial(device, splits * dw.size);
  launch("conv_tensor_narrow_weight", conv_tensor_narrow_weight, static_cast<unsigned>(splits * row_blocks),
         narrow_weight_warps * warp_size, device.stream(), ConvSizes(shape), per_split, x, g, partial.data());
  add_splits(device, static_cast<int>(splits), partial.data(), dw);
}

}  // namespace vergence::VERGENCE_GPU
