// Convolution on tensor cores, weight gradient, as an implicit matrix product over the pixels:
//   dw[o, (tap, c)] = sum over pixels p of g[p, o] x[source(p, tap), c]
// bf16 (mma m16n8k16) and, where the math mode allows it, f32 rounded to tf32 (m16n8k8); sums in f32, over splits of
// the pixels that a second kernel adds in order. Bytes: per block of 64 or 128 output channels x 128 (tap, channel)
// pairs both operands once out of L2, 16 bytes per load; from HBM about the operands once, and the partial sums twice.
// Bound: 64 channels by L2, 128 and more by the mma pipe. Both operands run across the depth, so fragments are
// transposed on their way out of shared memory (ldmatrix.trans).
#include "kernels/cuda/conv/tiles.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int weight_cols = 128;

/// A thread's copies of g (`rows` channels wide): one chunk of some pixels.
template <class T, int rows>
struct CotangentLoader {
  static constexpr int chunks = rows / vector_width<T>, pixels_apart = threads_of_block / chunks;
  static constexpr int count = depth_of_stage<T> / pixels_apart;
  const T* g;
  const T* at;  // at the thread's channel of its first pixel
  int channels;
  bool inside;
  std::int64_t pixel, last;

  __device__ CotangentLoader(const T* g, int channels, int first_row, std::int64_t first, std::int64_t last)
      : g(g), channels(channels), pixel(first + row(0)), last(last) {
    const int channel = first_row + chunk() * vector_width<T>;
    inside = channel < channels;
    at = g + pixel * channels + channel;
  }
  __device__ static int chunk() { return static_cast<int>(threadIdx.x) % chunks; }
  __device__ static int row(int e) { return static_cast<int>(threadIdx.x) / chunks + e * pixels_apart; }

  __device__ void operator()(uint4* to) {
#pragma unroll
    for (int e = 0; e < count; ++e) {
      const bool valid = inside && pixel + e * pixels_apart < last;
      begin_copy(to + wide_chunk<T>(row(e), chunk(), chunks),
                 valid ? at + std::int64_t{e * pixels_apart} * channels : g, valid);
    }
    pixel += depth_of_stage<T>;
    at += std::int64_t{depth_of_stage<T>} * channels;
  }
};

/// A thread's copies of x: one chunk, that is one tap and some channels, of the sources of two pixels. Pixels advance
/// as three-digit numbers (image, row, column).
template <class T>
struct ImageLoader {
  static constexpr int chunks = weight_cols / vector_width<T>, pixels_apart = threads_of_block / chunks;
  static constexpr int count = 2;
  const ConvSizes& sizes;
  const ConvWalk& walk;
  const T* x;
  int row_offset, col_offset, channel;  // of the thread's tap
  bool inside;
  ConvPixel step, pixels[count];
  std::int64_t left;  // pixels before the end of the split

  __device__ ImageLoader(const ConvSizes& sizes, const ConvWalk& walk, const T* x, int first_col, std::int64_t first,
                         std::int64_t last)
      : sizes(sizes), walk(walk), x(x), step(pixel_of(walk, depth_of_stage<T>)), left(last - first) {
    static_assert(count * pixels_apart == depth_of_stage<T>);
    const int col = first_col + chunk() * vector_width<T>, tap = col / sizes.in_channels;
    inside = tap < sizes.kernel_size();
    channel = col - tap * sizes.in_channels;
    const int tap_row = tap / sizes.kernel_width, tap_col = tap - tap_row * sizes.kernel_width;
    row_offset = tap_row * sizes.dilation - sizes.padding;
    col_offset = tap_col * sizes.dilation - sizes.padding;
    for (int e = 0; e < count; ++e) pixels[e] = pixel_of(walk, first + row(e));
  }
  __device__ static int chunk() { return static_cast<int>(threadIdx.x) % chunks; }
  __device__ static int row(int e) { return static_cast<int>(threadIdx.x) / chunks + e * pixels_apart; }

  __device__ void operator()(uint4* to) {
#pragma unroll
    for (int e = 0; e < count; ++e) {
      ConvPixel& at = pixels[e];
      const int in_row = at.row * sizes.stride + row_offset, in_col = at.col * sizes.stride + col_offset;
      const bool valid =
          inside && row(e) < left && in_row >= 0 && in_row < sizes.in_height && in_col >= 0 && in_col < sizes.in_width;
      const std::int64_t pixel = (at.image * sizes.in_height + in_row) * sizes.in_width + in_col;
      begin_copy(to + wide_chunk<T>(row(e), chunk(), chunks), valid ? x + pixel * sizes.in_channels + channel : x,
                 valid);
      advance(walk, step, at);
    }
    left -= depth_of_stage<T>;
  }
};

/// `rows` output channels by 128 (tap, input channel) pairs per block, over one split of the pixels, into
/// partial[split][output channel][tap][input channel].
template <class T, int rows>
__global__ void __launch_bounds__(threads_of_block, 2)
    conv_tensor_weight(ConvSizes sizes, std::int64_t pixels_per_split, const T* x, const T* g, float* partial) {
  using Layout = Warps<rows, weight_cols>;
  constexpr int chunks_of_g = rows / vector_width<T>, chunks_of_x = weight_cols / vector_width<T>;
  constexpr int chunks_of_stage = (chunks_of_g + chunks_of_x) * depth_of_stage<T>;
  SHARED(uint4, memory, [stages * chunks_of_stage]);
  const int cols = sizes.in_channels * sizes.kernel_size();
  const unsigned row_blocks = static_cast<unsigned>(ceil_div(sizes.out_channels, rows));
  const unsigned col_blocks = static_cast<unsigned>(ceil_div(cols, weight_cols));
  unsigned block = blockIdx.x;
  const int first_col = static_cast<int>(block % col_blocks) * weight_cols;
  block /= col_blocks;
  const int first_row = static_cast<int>(block % row_blocks) * rows;
  const std::int64_t split = block / row_blocks;
  const ConvWalk walk = conv_walk<false>(sizes, 0);
  const std::int64_t first = split * pixels_per_split;
  const std::int64_t last = first + pixels_per_split < walk.pixels ? first + pixels_per_split : walk.pixels;

  WarpSums<Layout::fragments> sums = {};
  CotangentLoader<T, rows> load_g(g, sizes.out_channels, first_row, first, last);
  ImageLoader<T> load_x(sizes, walk, x, first_col, first, last);
  const int warp_row = warp_of_thread() / Layout::across * Layout::fragments * 16;
  const int warp_col = warp_of_thread() % Layout::across * 32;
  run_stages(
      first < last ? static_cast<int>(ceil_div(last - first, depth_of_stage<T>)) : 0,
      [&](int stage) {
        uint4* const to = memory + stage * chunks_of_stage;
        load_g(to);
        load_x(to + chunks_of_g * depth_of_stage<T>);
      },
      [&](int stage) {
        const uint4 *const of_g = memory + stage * chunks_of_stage, *const of_x =
                                                                        of_g + chunks_of_g * depth_of_stage<T>;
#pragma unroll
        for (int slice = 0; slice < chunks_deep / 2; ++slice) {
          unsigned a[Layout::fragments][4], b[2][4];
#pragma unroll
          for (int i = 0; i < Layout::fragments; ++i)
            load_wide<T, true>(a[i], of_g, chunks_of_g, warp_row + i * 16, slice);
#pragma unroll
          for (int j = 0; j < 2; ++j) load_wide<T, false>(b[j], of_x, chunks_of_x, warp_col + j * 16, slice);
          multiply<T, Layout::fragments>(sums, a, b);
        }
      });
  for_each_pair<rows, weight_cols>(sums, [&](int row, int col, float one, float other) {
    if (first_row + row < sizes.out_channels && first_col + col < cols)
      store_pack(partial + (split * sizes.out_channels + first_row + row) * cols + first_col + col,
                 Pack<float, 2>{{one, other}});
  });
}

template <class T, int rows>
void weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  const int splits = conv_weight_splits(shape, device.multiprocessors(), rows, weight_cols);
  const bool direct = splits == 1 && dw.dtype == DType::f32 && aligned_to<8>(dw.data);
  const Scratch<float> scratch(device, direct ? 0 : splits * dw.size);
  float* const partial = direct ? dw.as<float>() : scratch.data();
  const std::int64_t cols = shape.in_channels * shape.kernel_height * shape.kernel_width;
  const std::int64_t pixels = shape.batch * shape.out_height() * shape.out_width();
  launch("conv_tensor_weight", conv_tensor_weight<T, rows>,
         static_cast<unsigned>(splits * ceil_div(shape.out_channels, rows) * ceil_div(cols, weight_cols)),
         threads_of_block, device.stream(), ConvSizes(shape), ceil_div(pixels, splits), x.as<T>(), g.as<T>(), partial);
  if (!direct) add_splits(device, splits, partial, dw);
}

}  // namespace

bool tensor_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  if (!tensor_fits(shape, x.dtype, shape.in_channels, x) || !tensor_fits(shape, g.dtype, shape.out_channels, g))
    return false;
  if (x.dtype == DType::f32)
    weight<float, 64>(device, shape, x, g, dw);  // 128 rows of it would not fit in the registers
  else if (narrow_fits(shape, g))
    narrow_conv2d_weight(device, shape, x.as<bf16>(), g.as<bf16>(), dw);
  else if (shape.out_channels > 64)
    weight<bf16, 128>(device, shape, x, g, dw);
  else
    weight<bf16, 64>(device, shape, x, g, dw);
  return true;
}

}  // namespace vergence::VERGENCE_GPU
