// Convolution on the GPU by kernels that run everywhere: any type, stride, padding, dilation, groups and number of
// channels. (tensor.cu has the kernels for tensor cores; conv.cu decides which kernel runs.)
//   y[p, o]     = sum over taps t, channels c of x[source(p, t), c] w[o, t, c]
//   dx[p, c]    = sum over taps t, channels o of g[source(p, t), o] w[o, t, c]
//   dw[o, t, c] = sum over pixels p of           g[p, o] x[source(p, t), c]
// Implicit matrix products: the gathered operand exists only in shared memory, 16 deep. Bytes: each operand about once
// per 64 columns or rows of the result, mostly out of L2. Bound by arithmetic outside the tensor cores: H200 data sheet
// 67 TFLOP/s f32, 34 TFLOP/s f64. walk.h explains how both gathers are one.
#include "kernels/cuda/conv/kernels.h"
#include "kernels/cuda/conv/walk.h"
#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int tile = 64, depth_of_tile = 16, threads_of_tile = 256, per_thread = 4;
constexpr int tile_row = tile + 4;  // keeps columns written by neighboring threads in different banks

template <class Real>
using Tile = Real[depth_of_tile][tile_row];

/// A thread's loads of one operand's tile, and its 4x4 part of the result.
template <class Real>
using Part = Real[per_thread];
template <class Real>
using Sums = Real[per_thread][per_thread];

/// The arrangement of a thread's four elements in a tile. Neighboring threads have neighboring rows of the result
/// (`across`) or neighboring depths, whichever is contiguous in memory.
template <bool across>
__device__ int row_in_tile(int element) {
  const int thread = static_cast<int>(threadIdx.x);
  return across ? thread % tile : thread / depth_of_tile + element * (threads_of_tile / depth_of_tile);
}
template <bool across>
__device__ int depth_in_tile(int element) {
  const int thread = static_cast<int>(threadIdx.x);
  return across ? thread / tile + element * (threads_of_tile / tile) : thread % depth_of_tile;
}

template <bool across, class Real>
__device__ void store_part(Tile<Real>& to, const Part<Real>& part) {
  for (int e = 0; e < per_thread; ++e) to[depth_in_tile<across>(e)][row_in_tile<across>(e)] = part[e];
}

template <class Real>
__device__ void multiply(const Tile<Real>& a, const Tile<Real>& b, Sums<Real>& sums) {
  const int row = static_cast<int>(threadIdx.x) / depth_of_tile * per_thread;
  const int col = static_cast<int>(threadIdx.x) % depth_of_tile * per_thread;
#pragma unroll
  for (int k = 0; k < depth_of_tile; ++k) {
    const auto of_a = load_pack<per_thread>(&a[k][row]), of_b = load_pack<per_thread>(&b[k][col]);
#pragma unroll
    for (int i = 0; i < per_thread; ++i)
#pragma unroll
      for (int j = 0; j < per_thread; ++j) sums[i][j] += of_a.values[i] * of_b.values[j];
  }
}

/// The product of a tile: load_a and load_b fetch their parts of the tile that begins at a depth, while the previous
/// tile is multiplied.
template <bool a_across, bool b_across, class Real, class LoadA, class LoadB>
__device__ void tile_product(std::int64_t first, std::int64_t last, const LoadA& load_a, LoadB& load_b,
                             Sums<Real>& sums) {
  SHARED(Real, a, [depth_of_tile][tile_row]);
  SHARED(Real, b, [depth_of_tile][tile_row]);
  Part<Real> part_a, part_b;
  if (first < last) {
    load_a(first, part_a);
    load_b(first, part_b);
  }
  for (std::int64_t depth = first; depth < last; depth += depth_of_tile) {
    store_part<a_across>(a, part_a);
    store_part<b_across>(b, part_b);
    __syncthreads();
    if (depth + depth_of_tile < last) {
      load_a(depth + depth_of_tile, part_a);
      load_b(depth + depth_of_tile, part_b);
    }
    multiply(a, b, sums);
    __syncthreads();
  }
}

/// The channels of a group on the summed side and on the side of the result.
struct Channels {
  int summed, results;
};
template <bool data>
__device__ Channels channels_of(const ConvSizes& s) {
  const int in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  return data ? Channels{out, in} : Channels{in, out};
}

/// A value rounded to the activations' type T.
template <class T, class W>
__device__ Compute<T> rounded_to(W value) {
  return static_cast<Compute<T>>(static_cast<T>(static_cast<Compute<T>>(value)));
}

/// A depth of a gather: a tap and a channel.
struct Depth {
  int tap_row, tap_col, channel;
};
__device__ Depth depth_at(const ConvWalk& walk, int channels, int depth) {
  const int tap = depth / channels, tap_row = tap / walk.cols.taps;
  return {tap_row, tap - tap_row * walk.cols.taps, depth - tap * channels};
}

template <class T>
struct SourceLoader {
  const ConvWalk& walk;
  const T* source;  // at the group's first channel
  int channels, channels_of_pixel, depths;
  ConvOrigin origins[per_thread];

  __device__ void operator()(std::int64_t first, Part<Compute<T>>& part) const {
    const int depth = static_cast<int>(first) + depth_in_tile<false>(0);
    const Depth at = depth_at(walk, channels, depth < depths ? depth : 0);
    for (int e = 0; e < per_thread; ++e) {
      const std::int64_t pixel = depth < depths ? source_of(walk, origins[e], at.tap_row, at.tap_col) : -1;
      part[e] = pixel < 0 ? Compute<T>(0) : static_cast<Compute<T>>(source[pixel * channels_of_pixel + at.channel]);
    }
  }
};

template <class T, class W, bool data>
struct WeightLoader {
  const ConvSizes& sizes;
  const ConvWalk& walk;
  const W* weights;  // of the group
  Channels channels;
  int first_result, depths;

  __device__ void operator()(std::int64_t first, Part<Compute<T>>& part) const {
    for (int e = 0; e < per_thread; ++e) {
      const int depth = static_cast<int>(first) + depth_in_tile<data>(e), result = first_result + row_in_tile<data>(e);
      const bool inside = depth < depths && result < channels.results;
      const Depth at = depth_at(walk, channels.summed, depth < depths ? depth : 0);
      const int out = data ? at.channel : result, in = data ? result : at.channel;
      const std::int64_t row = std::int64_t{out} * sizes.kernel_size() + tap_of(walk, sizes, at.tap_row, at.tap_col);
      part[e] = inside ? rounded_to<T>(weights[row * (data ? channels.results : channels.summed) + in]) : Compute<T>(0);
    }
  }
};

/// Forward, or with `data` the data gradient: 64 pixels of a class by 64 channels of a group per block. add: `out` +=.
template <class T, class W, bool data>
__global__ void __launch_bounds__(threads_of_tile, 2)
    conv_gather(ConvSizes sizes, int pixel_blocks, const T* source, const W* weights, T* out, bool add) {
  using Real = Compute<T>;
  const Channels channels = channels_of<data>(sizes);
  const int channel_blocks = static_cast<int>(ceil_div(channels.results, tile));
  unsigned block = blockIdx.x;
  const int channel_block = static_cast<int>(block % static_cast<unsigned>(channel_blocks));
  block /= static_cast<unsigned>(channel_blocks);
  const int group = static_cast<int>(block % static_cast<unsigned>(sizes.groups));
  block /= static_cast<unsigned>(sizes.groups);
  const ConvWalk walk = conv_walk<data>(sizes, static_cast<int>(block / static_cast<unsigned>(pixel_blocks)));
  const std::int64_t first_pixel = std::int64_t{block % static_cast<unsigned>(pixel_blocks)} * tile;
  const int first_channel = channel_block * tile, depths = walk.taps() * channels.summed;

  SourceLoader<T> load_source{
      walk, source + group * channels.summed, channels.summed, channels.summed * sizes.groups, depths, {}};
  for (int e = 0; e < per_thread; ++e) load_source.origins[e] = origin_of(walk, first_pixel + row_in_tile<false>(e));
  const std::int64_t weights_of_group = std::int64_t{channels.summed} * channels.results * sizes.kernel_size();
  const WeightLoader<T, W, data> load_weights{sizes,    walk,          weights + group * weights_of_group,
                                              channels, first_channel, depths};
  Sums<Real> sums = {};
  tile_product<false, data>(0, depths, load_source, load_weights, sums);

  const int row = static_cast<int>(threadIdx.x) / depth_of_tile * per_thread;
  const int col = first_channel + static_cast<int>(threadIdx.x) % depth_of_tile * per_thread;
  for (int i = 0; i < per_thread; ++i) {
    const std::int64_t pixel = first_pixel + row + i;
    if (pixel >= walk.pixels) break;
    const std::int64_t place = place_of(walk, pixel_of(walk, pixel));
    T* to = out + (place * sizes.groups + group) * channels.results + col;
    for (int j = 0; j < per_thread; ++j)
      if (col + j < channels.results) to[j] = static_cast<T>(add ? static_cast<Real>(to[j]) + sums[i][j] : sums[i][j]);
  }
}

/// g, as rows of the product: neighboring threads have neighboring output channels.
template <class T>
struct CotangentLoader {
  const T* g;  // at the thread's channel
  int channels_of_pixel;
  bool inside;
  std::int64_t last;

  __device__ void operator()(std::int64_t first, Part<Compute<T>>& part) const {
    for (int e = 0; e < per_thread; ++e) {
      const std::int64_t pixel = first + depth_in_tile<true>(e);
      part[e] = inside && pixel < last ? static_cast<Compute<T>>(g[pixel * channels_of_pixel]) : Compute<T>(0);
    }
  }
};

/// x, as columns of the product: a thread has one tap and input channel. Called for one tile after another.
template <class T>
struct ImageLoader {
  const ConvWalk& walk;
  const T* x;  // at the thread's channel
  int channels_of_pixel, tap_row, tap_col;
  bool inside;
  std::int64_t last;
  ConvPixel step, pixels[per_thread];

  __device__ void operator()(std::int64_t first, Part<Compute<T>>& part) {
    for (int e = 0; e < per_thread; ++e) {
      const bool valid = inside && first + depth_in_tile<true>(e) < last;
      const std::int64_t source = valid ? source_of(walk, origin_of(walk, pixels[e]), tap_row, tap_col) : -1;
      part[e] = source < 0 ? Compute<T>(0) : static_cast<Compute<T>>(x[source * channels_of_pixel]);
      advance(walk, step, pixels[e]);
    }
  }
};

/// The weight gradient: 64 output channels of a group by 64 (tap, input channel) pairs per block, over one split of the
/// pixels, into partial[split][group][output channel][tap][input channel].
template <class T>
__global__ void __launch_bounds__(threads_of_tile, 2)
    conv_weight(ConvSizes sizes, int splits, std::int64_t pixels_per_split, const T* x, const T* g,
                Compute<T>* partial) {
  using Real = Compute<T>;
  const int in = sizes.in_channels / sizes.groups, out = sizes.out_channels / sizes.groups;
  const int cols = in * sizes.kernel_size();
  const int row_blocks = static_cast<int>(ceil_div(out, tile)), col_blocks = static_cast<int>(ceil_div(cols, tile));
  unsigned block = blockIdx.x;
  const int first_col = static_cast<int>(block % static_cast<unsigned>(col_blocks)) * tile;
  block /= static_cast<unsigned>(col_blocks);
  const int first_row = static_cast<int>(block % static_cast<unsigned>(row_blocks)) * tile;
  block /= static_cast<unsigned>(row_blocks);
  const int split = static_cast<int>(block % static_cast<unsigned>(splits)), group = static_cast<int>(block) / splits;
  const ConvWalk walk = conv_walk<false>(sizes, 0);
  const std::int64_t first = split * pixels_per_split;
  const std::int64_t last = first + pixels_per_split < walk.pixels ? first + pixels_per_split : walk.pixels;

  const int my_row = first_row + row_in_tile<true>(0), my_col = first_col + row_in_tile<true>(0);
  const Depth at = depth_at(walk, in, my_col < cols ? my_col : 0);
  const CotangentLoader<T> load_g{g + group * out + my_row, sizes.out_channels, my_row < out, last};
  ImageLoader<T> load_x{walk,
                        x + group * in + at.channel,
                        sizes.in_channels,
                        at.tap_row,
                        at.tap_col,
                        my_col < cols,
                        last,
                        pixel_of(walk, depth_of_tile),
                        {}};
  for (int e = 0; e < per_thread; ++e) load_x.pixels[e] = pixel_of(walk, first + depth_in_tile<true>(e));
  Sums<Real> sums = {};
  tile_product<true, true>(first, last, load_g, load_x, sums);

  const int row = first_row + static_cast<int>(threadIdx.x) / depth_of_tile * per_thread;
  const int col = first_col + static_cast<int>(threadIdx.x) % depth_of_tile * per_thread;
  Real* to = partial + (std::int64_t{split} * sizes.groups + group) * out * cols;
  for (int i = 0; i < per_thread && row + i < out; ++i)
    for (int j = 0; j < per_thread; ++j)
      if (col + j < cols) to[std::int64_t{row + i} * cols + col + j] = sums[i][j];
}

/// A block adds up 256 / `phases` values; each thread adds every phases-th split of one value, and the sums are added
/// in order.
template <class Real, class T>
__global__ void sum_splits(std::int64_t size, int splits, int phases, const Real* partial, T* out) {
  SHARED(double, sums, [256]);
  const int values = 256 / phases, thread = static_cast<int>(threadIdx.x), phase = thread / values;
  const std::int64_t i = std::int64_t{blockIdx.x} * values + thread - phase * values;
  double sum = 0;
  if (i < size) {
#pragma unroll 8
    for (int split = phase; split < splits; split += phases) sum += static_cast<double>(partial[split * size + i]);
  }
  sums[thread] = sum;
  __syncthreads();
  if (phase > 0 || i >= size) return;
  for (int other = 1; other < phases; ++other) sum += sums[thread + other * values];
  out[i] = static_cast<T>(static_cast<Real>(sum));
}

template <class T, class W, bool data>
void launch_gather(Device& device, const ConvShape& shape, const T* source, const W* weights, T* out, bool add) {
  const std::int64_t results = data ? shape.in_channels : shape.out_channels;
  const std::int64_t classes = data ? shape.stride * shape.stride : 1;
  const std::int64_t pixel_blocks = ceil_div(conv_walk<data>(ConvSizes(shape), 0).pixels, tile);  // 0 is the largest
  const std::int64_t blocks = classes * pixel_blocks * shape.groups * ceil_div(results / shape.groups, tile);
  launch(data ? "conv_data" : "conv_forward", conv_gather<T, W, data>, static_cast<unsigned>(blocks), threads_of_tile,
         device.stream(), ConvSizes(shape), static_cast<int>(pixel_blocks), source, weights, out, add);
}

template <bool data>
void gather(Device& device, const ConvShape& shape, ConstArray source, ConstArray w, Array out, bool add) {
  with_float(source.dtype, [&](auto type) {
    using T = decltype(type);
    if (w.dtype == source.dtype)
      launch_gather<T, T, data>(device, shape, source.as<T>(), w.as<T>(), out.as<T>(), add);
    else
      launch_gather<T, Compute<T>, data>(device, shape, source.as<T>(), w.as<Compute<T>>(), out.as<T>(), add);
  });
}

}  // namespace

int conv_weight_splits(const ConvShape& shape, int multiprocessors, std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t least = 256, most = 16384;  // pixels of a split
  constexpr std::int64_t more_waves = 3;
  const std::int64_t pixels = shape.batch * shape.out_height() * shape.out_width();
  const std::int64_t pairs = shape.in_channels / shape.groups * shape.kernel_height * shape.kernel_width;
  const std::int64_t blocks = ceil_div(shape.out_channels / shape.groups, rows) * ceil_div(pairs, cols) * shape.groups;
  const std::int64_t wave = 2 * multiprocessors, fewest = pixels > most ? ceil_div(pixels, most) : 1;
  const std::int64_t first = ceil_div(fewest * blocks, wave);
  std::int64_t splits = first * wave / blocks;
  for (std::int64_t waves = first; waves <= first + more_waves; ++waves)  // nearly fills the last wave, too
    if (const std::int64_t fit = waves * wave / blocks; 4 * fit * blocks >= 3 * waves * wave) {
      splits = fit;
      break;
    }
  if (splits > ceil_div(pixels, least)) splits = ceil_div(pixels, least);
  return static_cast<int>(splits < 1 ? 1 : splits);
}

template <class Real>
void add_splits(Device& device, int splits, const Real* partial, Array dw) {
  const int phases = splits < 8 ? 1 : 16;  // with many splits there are few values, and so few blocks
  const auto run = [&](auto* out) {
    launch("conv_sum_splits", sum_splits<Real, std::remove_pointer_t<decltype(out)>>,
           static_cast<unsigned>(ceil_div(dw.size, 256 / phases)), 256, device.stream(), dw.size, splits, phases,
           partial, out);
  };
  if (dw.dtype == DType::bf16)
    run(dw.as<bf16>());
  else
    run(dw.as<Real>());
}
template void add_splits(Device&, int, const float*, Array);
template void add_splits(Device&, int, const double*, Array);

void plain_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) {
  gather<false>(device, shape, x, w, y, add);
}

void plain_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) {
  gather<true>(device, shape, g, w, dx, add);
}

void plain_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  with_float(x.dtype, [&](auto type) {
    using T = decltype(type);
    using Real = Compute<T>;
    const int splits = conv_weight_splits(shape, device.multiprocessors(), tile, tile);
    const bool direct = splits == 1 && dw.dtype == dtype_of<Real>();
    const Scratch<Real> scratch(device, direct ? 0 : splits * dw.size);
    Real* partial = direct ? dw.as<Real>() : scratch.data();
    const std::int64_t pixels = shape.batch * shape.out_height() * shape.out_width();
    const std::int64_t cols = shape.in_channels / shape.groups * shape.kernel_height * shape.kernel_width;
    const std::int64_t blocks =
        shape.groups * splits * ceil_div(shape.out_channels / shape.groups, tile) * ceil_div(cols, tile);
    launch("conv_weight", conv_weight<T>, static_cast<unsigned>(blocks), threads_of_tile, device.stream(),
           ConvSizes(shape), splits, ceil_div(pixels, splits), x.as<T>(), g.as<T>(), partial);
    if (!direct) add_splits(device, splits, partial, dw);
  });
}

}  // namespace vergence::VERGENCE_GPU
