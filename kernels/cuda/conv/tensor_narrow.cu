// The forward convolution of 8 channels by 3 x 3 taps, bf16, on tensor cores: a network's first layer, its colors
// padded with zeros. Its depth of 72 is too short for the tiles of tensor.cu. Here a warp keeps the weights of 64
// output channels in registers and walks along its pixels, 16 per step, without shared memory or barriers. Depth and
// output channels are ordered so that a thread's 16-byte loads (8 channels of a tap) are its parts of the operands of
// two products, and its sums are two runs of 8 channels. 1024 images of 32 x 32, 64 channels out, on an H200: 65 us
// (tensor.cu: 194 us); bounds: 37 us by HBM (151 MB), 32 us by instructions issued, 23 us by products.
#include "kernels/cuda/conv/kernels.h"
#include "kernels/cuda/conv/walk.h"
#include "kernels/cuda/ptx.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int narrow_channels = 8, narrow_taps = 9, narrow_results = 64, narrow_matrices = narrow_results / 8;
constexpr int narrow_warps = 4, narrow_blocks = 2;  // warps of a block, blocks of a multiprocessor
constexpr int rows_of_step = 16;

/// The output channel, of 64, of a column of a matrix of the product: a thread has columns 2 member and 2 member + 1.
__device__ inline int narrow_channel(int matrix, int column) {
  return matrix / 4 * 32 + column / 2 * 8 + matrix % 4 * 2 + column % 2;
}

/// The 8 channels, as pairs, of a tap of a pixel or of a weight; zeros unless `valid`.
__device__ inline void load_tap(unsigned (&pairs)[4], const bf16* from, bool valid) {
  pairs[0] = pairs[1] = pairs[2] = pairs[3] = 0;
  if (!valid) return;
  const Vector<bf16> values = load_vector(from);
  memcpy(pairs, &values, sizeof pairs);
}
/// Two of the channels.
__device__ inline unsigned load_two(const bf16* from, bool valid) {
  unsigned pair = 0;
  if (!valid) return pair;
  const Pack<bf16, 2> values = load_pack<2>(from);
  memcpy(&pair, &values, sizeof pair);
  return pair;
}

/// A thread's factors: for its column of each matrix, taps `member` and 4 + `member`, two products each, and two
/// channels of the last tap.
struct NarrowWeights {
  unsigned taps[2][narrow_matrices][4], last[narrow_matrices];

  __device__ NarrowWeights(const bf16* weights, int group, int member) {
#pragma unroll
    for (int j = 0; j < narrow_matrices; ++j) {
      const bf16* const from = weights + narrow_channel(j, group) * narrow_taps * narrow_channels;
      for (int s = 0; s < 2; ++s) load_tap(taps[s][j], from + (4 * s + member) * narrow_channels, true);
      last[j] = load_two(from + (narrow_taps - 1) * narrow_channels + 2 * member, true);
    }
  }
};

/// The other factors, from two pixels: `group` and `group` + 8 of the step.
struct NarrowPixels {
  unsigned taps[2][2][4], last[2];  // taps[s][which pixel]
};

/// Loads the pixels of one step after another: digits (image, row, column) that advance without divisions.
struct NarrowLoader {
  struct Tap {
    int row, col, distance;  // from the first tap's source
    __device__ Tap(const ConvSizes& sizes, int tap)
        : row(tap / 3 * sizes.dilation), col(tap % 3 * sizes.dilation), distance(row * sizes.in_width + col) {}
  };
  const ConvSizes& sizes;
  const ConvWalk& walk;
  const bf16* x;
  int member;
  Tap first, second, last;
  ConvPixel step, pixels[2];
  std::int64_t left;  // pixels from the thread's first to the end

  __device__ NarrowLoader(const ConvSizes& sizes, const ConvWalk& walk, const bf16* x, std::int64_t from,
                          std::int64_t end, int group, int member)
      : sizes(sizes),
        walk(walk),
        x(x),
        member(member),
        first(sizes, member),
        second(sizes, 4 + member),
        last(sizes, narrow_taps - 1),
        step(pixel_of(walk, rows_of_step)),
        left(end - from - group) {
    for (int half = 0; half < 2; ++half) pixels[half] = pixel_of(walk, from + group + 8 * half);
  }

  __device__ void operator()(NarrowPixels& to) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const ConvOrigin origin = left > 8 * half ? origin_of(walk, pixels[half]) : ConvOrigin{0, nowhere, 0};
      const int place = (origin.image * sizes.in_height + origin.row) * sizes.in_width + origin.col;
      const auto inside = [&](const Tap& tap) {
        return static_cast<unsigned>(origin.row + tap.row) < static_cast<unsigned>(sizes.in_height) &&
               static_cast<unsigned>(origin.col + tap.col) < static_cast<unsigned>(sizes.in_width);
      };
      const auto at = [&](const Tap& tap) { return x + std::int64_t{place + tap.distance} * narrow_channels; };
      load_tap(to.taps[0][half], at(first), inside(first));
      load_tap(to.taps[1][half], at(second), inside(second));
      to.last[half] = load_two(at(last) + 2 * member, inside(last));
      advance(walk, step, pixels[half]);
    }
    left -= rows_of_step;
  }
};

using NarrowSums = float[narrow_matrices][4];

__device__ inline void multiply_step(const NarrowPixels& pixels, const NarrowWeights& weights, NarrowSums& sums) {
#pragma unroll
  for (int s = 0; s < 2; ++s)
#pragma unroll
    for (int part = 0; part < 4; part += 2) {  // of the taps' channels
      const unsigned(&of)[2][4] = pixels.taps[s];
      const unsigned a[4] = {of[0][part], of[1][part], of[0][part + 1], of[1][part + 1]};
#pragma unroll
      for (int j = 0; j < narrow_matrices; ++j)
        multiply_bf16(sums[j], a, weights.taps[s][j][part], weights.taps[s][j][part + 1]);
    }
  const unsigned a[4] = {pixels.last[0], pixels.last[1], 0, 0};
#pragma unroll
  for (int j = 0; j < narrow_matrices; ++j) multiply_bf16(sums[j], a, weights.last[j], 0);
}

/// A thread's channels of a pixel, rounded: the pairs of matrix j are the channels narrow_channel(j, 2 member), + 1.
using NarrowResults = unsigned[narrow_matrices];

__device__ inline void store_results(const NarrowResults& pairs, bf16* to) {
#pragma unroll
  for (int run = 0; run < 2; ++run) {
    const unsigned words[4] = {pairs[4 * run], pairs[4 * run + 1], pairs[4 * run + 2], pairs[4 * run + 3]};
    store_16_bytes(to + 32 * run, words);
  }
}

__device__ inline float narrow_value(const NarrowResults& pairs, int i) {
  return __uint_as_float(i % 2 ? pairs[i / 2] & 0xffff0000u : pairs[i / 2] << 16);
}

/// Sums of the deviations from the tile's first pixel, and of their squares, over the thread's rows of a tile. What
/// cancels in the squares is at most the number of rows times the result.
struct NarrowMoments {
  float pivot[2 * narrow_matrices], sums[2 * narrow_matrices], squares[2 * narrow_matrices];

  /// All lanes call it: the tile's first pixel belongs to the first four.
  __device__ void begin(const NarrowResults& pairs) {
    NarrowResults first;
#pragma unroll
    for (int j = 0; j < narrow_matrices; ++j)
      first[j] = __shfl_sync(0xffffffffu, pairs[j], static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int i = 0; i < 2 * narrow_matrices; ++i) pivot[i] = narrow_value(first, i), sums[i] = squares[i] = 0;
  }
  __device__ void add(const NarrowResults& pairs) {
#pragma unroll
    for (int i = 0; i < 2 * narrow_matrices; ++i) {
      const float difference = narrow_value(pairs, i) - pivot[i];
      sums[i] += difference;
      squares[i] += difference * difference;
    }
  }
  /// All lanes must call it. They add the eight groups' sums in a fixed order; the first group stores the results at
  /// `mean` and `deviations`, the places of the thread's first channel of the tile.
  __device__ void store(float count, float* mean, float* deviations) const {
    const float share = 1 / count;
#pragma unroll
    for (int run = 0; run < 2; ++run) {
      Pack<float, 8> means, rests;
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        float sum = sums[8 * run + k], square = squares[8 * run + k];
#pragma unroll
        for (int lanes = warp_size / 2; lanes >= 4; lanes /= 2) {
          sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
          square += __shfl_xor_sync(0xffffffffu, square, lanes);
        }
        const float rest = square - sum * (sum * share);
        means.values[k] = pivot[8 * run + k] + sum * share;
        rests.values[k] = rest > 0 ? rest : 0;
      }
      if (threadIdx.x % warp_size >= 4) continue;
      store_pack(mean + 32 * run, means);
      store_pack(deviations + 32 * run, rests);
    }
  }
};

/// One warp: `tiles_of_warp` tiles of conv_statistics_rows pixels, one after another, of 64 output channels.
__global__ void __launch_bounds__(narrow_warps* warp_size, narrow_blocks)
    conv_tensor_narrow(ConvSizes sizes, int tiles_of_warp, const bf16* x, const bf16* weights, bf16* y,
                       ConvStatistics statistics) {
  const int lane = static_cast<int>(threadIdx.x) % warp_size, group = lane / 4, member = lane % 4;
  const unsigned result_blocks = static_cast<unsigned>(sizes.out_channels) / narrow_results;
  const unsigned block = blockIdx.x / result_blocks;
  const int first_result = static_cast<int>(blockIdx.x - block * result_blocks) * narrow_results;
  const ConvWalk walk = conv_walk<false>(sizes, 0);
  const std::int64_t warp = std::int64_t{block} * narrow_warps + static_cast<int>(threadIdx.x) / warp_size;
  const std::int64_t pixels_of_warp = std::int64_t{tiles_of_warp} * conv_statistics_rows, first = warp * pixels_of_warp;
  const std::int64_t end = first + pixels_of_warp < walk.pixels ? first + pixels_of_warp : walk.pixels;
  if (first >= end) return;

  const NarrowWeights of_channels(weights + std::int64_t{first_result} * narrow_taps * narrow_channels, group, member);
  NarrowLoader load(sizes, walk, x, first, end, group, member);
  NarrowPixels pixels, next;
  load(pixels);
  NarrowMoments moments;
  const int channel = first_result + member * 8;  // the thread's first
  bf16* to = y + (first + group) * sizes.out_channels + channel;
  int rows_done = 0;  // of the tile
  for (std::int64_t row = first; row < end; row += rows_of_step) {
    load(next);
    NarrowSums sums = {};
    multiply_step(pixels, of_channels, sums);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      NarrowResults pairs;
#pragma unroll
      for (int j = 0; j < narrow_matrices; ++j) pairs[j] = round_pair_to_bf16(sums[j][2 * half], sums[j][2 * half + 1]);
      if (half == 0 && rows_done == 0) moments.begin(pairs);
      if (row + group + 8 * half < end) {
        store_results(pairs, to + half * 8 * std::int64_t{sizes.out_channels});
        if (statistics.mean) moments.add(pairs);
      }
    }
    to += rows_of_step * std::int64_t{sizes.out_channels};
    rows_done += rows_of_step;
    if (rows_done == conv_statistics_rows || row + rows_of_step >= end) {
      const std::int64_t place = row / conv_statistics_rows * sizes.out_channels + channel;
      const int count =
          static_cast<int>(row + rows_of_step < end ? rows_of_step : end - row) + rows_done - rows_of_step;
      if (statistics.mean)
        moments.store(static_cast<float>(count), statistics.mean + place, statistics.squares + place);
      rows_done = 0;
    }
    pixels = next;
  }
}

}  // namespace

bool narrow_fits(const ConvShape& shape, ConstArray y) {
  return shape.in_channels == narrow_channels && shape.kernel_height == 3 && shape.kernel_width == 3 &&
         shape.out_channels % narrow_results == 0 && aligned_to<16>(y.data);
}

void narrow_conv2d(Device& device, const ConvShape& shape, const bf16* x, const bf16* weights, bf16* y,
                   const ConvStatistics& statistics) {
  const std::int64_t tiles = ceil_div(shape.batch * shape.out_height() * shape.out_width(), conv_statistics_rows);
  const std::int64_t result_blocks = shape.out_channels / narrow_results;
  const std::int64_t wave = ceil_div(std::int64_t{device.multiprocessors()} * narrow_blocks, result_blocks);
  const std::int64_t tiles_of_warp = ceil_div(tiles, wave * narrow_warps);
  launch("conv_tensor_narrow", conv_tensor_narrow,
         static_cast<unsigned>(ceil_div(ceil_div(tiles, tiles_of_warp), narrow_warps) * result_blocks),
         narrow_warps * warp_size, device.stream(), ConvSizes(shape), static_cast<int>(tiles_of_warp), x, weights, y,
         statistics);
}

}  // namespace vergence::VERGENCE_GPU
