// Convolution on tensor cores, forward and data gradient, as implicit matrix products (walk.h has the gathers):
//   out[pixel, channel] = sum over (tap, channel) of source[..] weights[channel, (tap, channel)]
// bf16 (mma m16n8k16) and, where the math mode allows it, f32 rounded to tf32 (m16n8k8); sums in f32.
// Bytes: per block of 128 pixels x 64 or 128 channels each operand once out of L2, 16 bytes per load; from HBM about
// the operands and the result once. Bound: 64 channels by L2 bandwidth (43 flop per byte), 128 and more by the mma
// pipe. A tile may also write the moments or sums with which the batch norm before or after it begins. Eight warps;
// three stages of 64 bytes of depth in shared memory, filled by cp.async two stages ahead of the mma. A chunk is 16
// bytes; chunks are swizzled so that neither ldmatrix nor the copies cause bank conflicts.
#include "kernels/cuda/conv/tiles.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

constexpr int pixels_of_tile = conv_statistics_rows;

/// Rows of 4 chunks: two rows fill the 32 banks, so every second row shifts the swizzle.
__device__ inline int deep_chunk(int row, int chunk) { return row * chunks_deep + (chunk ^ (row >> 1 & 3)); }

/// count, rounded up to whole `unit`s.
template <int unit>
VERGENCE_BOTH constexpr int whole(int count) {
  return (count + unit - 1) / unit * unit;
}

/// A thread's copies for a stage: one chunk of each of 2 pixels, and one of the weights per 64 columns. For the data
/// gradient, weights run across the depth, so a stage keeps to one tap, with zeros after the last channel.
template <class T, int cols, bool data>
struct GatherLoader {
  static constexpr int weight_rows = cols / 64;
  const ConvSizes& sizes;
  const ConvWalk& walk;
  const T *source, *weights;
  int channels, results, first_result;
  ConvOrigin origins[2];
  int tap_row = 0, tap_col = 0, channel;
  int pixels[2];  // the tap's sources; -1 for padding
  int tap;        // its index in the kernel; -1 past the last one

  __device__ GatherLoader(const ConvSizes& sizes, const ConvWalk& walk, const T* source, const T* weights,
                          std::int64_t first_pixel, int first_result)
      : sizes(sizes),
        walk(walk),
        source(source),
        weights(weights),
        channels(data ? sizes.out_channels : sizes.in_channels),
        results(data ? sizes.in_channels : sizes.out_channels),
        first_result(first_result),
        channel(chunk() * vector_width<T>) {
#pragma unroll
    for (int e = 0; e < 2; ++e) origins[e] = origin_of(walk, first_pixel + row(e));
    settle();
  }

  __device__ static int chunk() { return static_cast<int>(threadIdx.x) % chunks_deep; }
  __device__ static int row(int e) { return static_cast<int>(threadIdx.x) / chunks_deep + 64 * e; }

  /// The depth of a tap.
  __device__ int depth() const { return data ? whole<depth_of_stage<T>>(channels) : channels; }
  __device__ int steps() const { return static_cast<int>(ceil_div(walk.taps() * depth(), depth_of_stage<T>)); }

  /// Brings `channel` back into a tap's range and finds that tap's pixels and index.
  __device__ void settle() {
    while (channel >= depth()) {
      channel -= depth();
      if (++tap_col == walk.cols.taps) {
        tap_col = 0;
        ++tap_row;
      }
    }
    const bool inside = tap_row < walk.rows.taps && walk.cols.taps > 0;
#pragma unroll
    for (int e = 0; e < 2; ++e)
      pixels[e] = inside ? static_cast<int>(source_of(walk, origins[e], tap_row, tap_col)) : -1;
    tap = inside ? tap_of(walk, sizes, tap_row, tap_col) : -1;
  }

  __device__ void operator()(uint4* of_pixels, uint4* of_weights) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const bool valid = pixels[e] >= 0 && (!data || channel < channels);
      begin_copy(of_pixels + deep_chunk(row(e), chunk()),
                 valid ? source + std::int64_t{pixels[e]} * channels + channel : source, valid);
    }
#pragma unroll
    for (int e = 0; e < weight_rows; ++e) {
      if constexpr (data)
        copy_across(of_weights, e);
      else
        copy_along(of_weights, e);
    }
    channel += depth_of_stage<T>;
    if (channel >= depth()) settle();
  }

  __device__ void copy_along(uint4* of_weights, int e) const {
    const int result = first_result + row(e);
    const bool valid = tap >= 0 && result < results;
    const std::int64_t place = (std::int64_t{result} * sizes.kernel_size() + tap) * channels + channel;
    begin_copy(of_weights + deep_chunk(row(e), chunk()), valid ? weights + place : weights, valid);
  }

  __device__ void copy_across(uint4* of_weights, int e) const {
    constexpr int chunks_wide = cols / vector_width<T>, rows_apart = threads_of_block / chunks_wide;
    const int across = static_cast<int>(threadIdx.x) % chunks_wide;
    const int deep = static_cast<int>(threadIdx.x) / chunks_wide + rows_apart * e;
    const int from = channel - chunk() * vector_width<T> + deep, result = first_result + across * vector_width<T>;
    const bool valid = from < channels && result < results;
    const std::int64_t place = (std::int64_t{from} * sizes.kernel_size() + tap) * whole<vector_width<T>>(results);
    begin_copy(of_weights + wide_chunk<T>(deep, across, chunks_wide), valid ? weights + place + result : weights,
               valid);
  }
};

/// One stage of both operands.
template <class T, int cols, bool data>
__device__ void multiply_stage(const uint4* of_pixels, const uint4* of_weights,
                               WarpSums<Warps<pixels_of_tile, cols>::fragments>& sums) {
  using Layout = Warps<pixels_of_tile, cols>;
  const int lane = lane_of_thread(), warp = warp_of_thread();
  const int first_row = warp / Layout::across * Layout::fragments * 16, first_col = warp % Layout::across * 32;
#pragma unroll
  for (int slice = 0; slice < chunks_deep / 2; ++slice) {
    unsigned a[Layout::fragments][4], b[2][4];
#pragma unroll
    for (int i = 0; i < Layout::fragments; ++i)
      load_matrices(a[i], of_pixels + deep_chunk(first_row + i * 16 + lane % 16, slice * 2 + lane / 16));
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      if constexpr (data)
        load_wide<T, false>(b[j], of_weights, cols / vector_width<T>, first_col + j * 16, slice);
      else
        load_matrices(b[j],
                      of_weights + deep_chunk(first_col + j * 16 + lane / 16 * 8 + lane % 8, slice * 2 + lane / 8 % 2));
    }
    multiply<T, Layout::fragments>(sums, a, b);
  }
}

/// The address of a pixel's results; null for pixels past the end.
template <bool data, class T>
__device__ T* results_of(const ConvWalk& walk, T* out, int results, std::int64_t pixel) {
  if (pixel >= walk.pixels) return nullptr;
  return out + (data ? place_of(walk, pixel_of(walk, pixel)) : pixel) * results;
}

/// A tile of bf16 results passing through shared memory; the pad keeps the rows of a fragment in different banks.
template <int cols>
constexpr int staged_row = cols + 8;

/// Copies the tile to its place in the results, or with `load` from there.
template <int cols, bool data, bool load = false>
__device__ void move_staged(const ConvWalk& walk, std::conditional_t<load, bf16, const bf16>* staged,
                            std::int64_t first_pixel, int first_result, int results, bool vectors, bf16* out) {
  constexpr int chunks = cols / 8;
  for (int i = static_cast<int>(threadIdx.x); i < pixels_of_tile * chunks; i += threads_of_block) {
    const int row = i / chunks, col = i % chunks * 8;
    bf16* const at = results_of<data>(walk, out, results, first_pixel + row);
    if (!at) continue;
    const auto copy = [&](auto* from, auto* to) {
      if (vectors) {
        if (first_result + col < results) store_vector(to, load_vector(from));
      } else {
        for (int k = 0; k < 8 && first_result + col + k < results; ++k) to[k] = from[k];
      }
    };
    if constexpr (load)
      copy(at + first_result + col, staged + row * staged_row<cols> + col);
    else
      copy(staged + row * staged_row<cols> + col, at + first_result + col);
  }
}

struct Moments {
  float count, mean, squares;  // squares: the sum of squared deviations from the mean
};
__device__ inline Moments joined(const Moments& a, const Moments& b) {
  const float count = a.count + b.count, difference = b.mean - a.mean;
  if (count == 0) return a;
  return {count, a.mean + difference * (b.count / count),
          a.squares + b.squares + difference * difference * (a.count * b.count / count)};
}

/// The moments of `cols` staged channels over the tile's `rows` pixels: each thread computes those of some rows of a
/// channel, in two passes; then they are joined in a fixed order.
template <int cols>
__device__ void store_moments(const bf16* staged, Moments* parts, int rows, int first_result, int results,
                              std::int64_t tile, const ConvStatistics& statistics) {
  constexpr int count_of_parts = threads_of_block / cols, rows_of_part = pixels_of_tile / count_of_parts;
  const int col = static_cast<int>(threadIdx.x) % cols, part = static_cast<int>(threadIdx.x) / cols;
  const int first = part * rows_of_part, last = rows < first + rows_of_part ? rows : first + rows_of_part;
  Moments mine{static_cast<float>(last > first ? last - first : 0), 0, 0};
  for (int row = first; row < last; ++row) mine.mean += static_cast<float>(staged[row * staged_row<cols> + col]);
  if (last > first) mine.mean /= mine.count;
  for (int row = first; row < last; ++row) {
    const float difference = static_cast<float>(staged[row * staged_row<cols> + col]) - mine.mean;
    mine.squares += difference * difference;
  }
  parts[threadIdx.x] = mine;
  __syncthreads();
  if (part > 0 || first_result + col >= results) return;
  for (int other = 1; other < count_of_parts; ++other) mine = joined(mine, parts[other * cols + col]);
  statistics.mean[tile * results + first_result + col] = mine.mean;
  statistics.squares[tile * results + first_result + col] = mine.squares;
}

/// The data gradient's counterpart of move_staged and store_moments; see ConvReluSums. Channels are whole vectors.
template <int cols>
__device__ void store_masked(const ConvWalk& walk, const bf16* staged, float (*parts)[threads_of_block],
                             std::int64_t first_pixel, int first_result, int results, std::int64_t group,
                             std::int64_t unit, const ConvReluSums& relu, bf16* out) {
  constexpr int chunks = cols / 8, rows_apart = threads_of_block / chunks;
  const int thread = static_cast<int>(threadIdx.x), first_row = thread / chunks, col = thread % chunks * 8;
  const int result = first_result + col;
  float sums[2][8] = {};
  if (result < results) {
    const float* const mean = relu.mean + group * results + result;
#pragma unroll
    for (int row = first_row; row < pixels_of_tile; row += rows_apart) {
      bf16* const to = results_of<true>(walk, out, results, first_pixel + row);
      if (!to) continue;
      const std::int64_t place = (to - out) + result;
      Pack<bf16, 8> g = load_pack<8>(staged + row * staged_row<cols> + col);
      const Pack<bf16, 8> raw = load_pack<8>(relu.raw + place);
      const unsigned bits = relu.positive[place / 8];
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        if ((bits >> k & 1u) == 0) g.values[k] = bf16(0.0f);
        const float value = static_cast<float>(g.values[k]);
        sums[0][k] += value;
        sums[1][k] += value * (static_cast<float>(raw.values[k]) - mean[k]);
      }
      store_pack(out + place, g);
    }
  }
#pragma unroll
  for (int s = 0; s < 2; ++s) {
    __syncthreads();  // the previous term may still be in use
#pragma unroll
    for (int k = 0; k < 8; ++k) parts[k][thread] = sums[s][k];
    __syncthreads();
    if (thread >= cols || first_result + thread >= results) continue;
    float sum = 0;
    for (int part = 0; part < rows_apart; ++part) sum += parts[thread % 8][part * chunks + thread / 8];
    relu.sums[(unit * 2 + s) * results + first_result + thread] = sum;
  }
}

/// The epilogue of a pass besides storing.
template <bool data>
using ConvExtras = std::conditional_t<data, ConvReluSums, ConvStatistics>;

/// Forward, or with `data` the data gradient: 128 pixels of a class by `cols` channels per block. weights: OHWI, with
/// `data` padded to chunks. vectors: rows of `out` are whole 16-byte (f32: 8-byte) vectors. add: only with `data`.
template <class T, int cols, bool data>
__global__ void __launch_bounds__(threads_of_block, 2)
    conv_tensor_gather(ConvSizes sizes, int pixel_blocks, const T* source, const T* weights, T* out, bool vectors,
                       bool add, ConvExtras<data> extras) {
  constexpr int chunks_of_stage = (pixels_of_tile + cols) * chunks_deep;
  SHARED(uint4, memory, [stages * chunks_of_stage]);
  const int results = data ? sizes.in_channels : sizes.out_channels;
  const unsigned result_blocks = static_cast<unsigned>(ceil_div(results, cols));
  const unsigned tile = blockIdx.x / result_blocks, class_index = tile / static_cast<unsigned>(pixel_blocks);
  const int first_result = static_cast<int>(blockIdx.x - tile * result_blocks) * cols;
  const ConvWalk walk = conv_walk<data>(sizes, static_cast<int>(class_index));
  const std::int64_t first_pixel =
      std::int64_t{tile - class_index * static_cast<unsigned>(pixel_blocks)} * pixels_of_tile;

  WarpSums<Warps<pixels_of_tile, cols>::fragments> sums = {};
  GatherLoader<T, cols, data> loader(sizes, walk, source, weights, first_pixel, first_result);
  run_stages(
      loader.steps(),
      [&](int stage) {
        uint4* const to = memory + stage * chunks_of_stage;
        loader(to, to + pixels_of_tile * chunks_deep);
      },
      [&](int stage) {
        const uint4* const from = memory + stage * chunks_of_stage;
        multiply_stage<T, cols, data>(from, from + pixels_of_tile * chunks_deep, sums);
      });

  if constexpr (std::is_same_v<T, float>) {
    for_each_pair<pixels_of_tile, cols>(sums, [&](int row, int col, float first, float second) {
      T* to = results_of<data>(walk, out, results, first_pixel + row);
      const int result = first_result + col;
      if (!to || result >= results) return;
      if (data && add) {
        first += to[result];
        if (result + 1 < results) second += to[result + 1];
      }
      if (vectors) {
        store_pack(to + result, Pack<float, 2>{{first, second}});
      } else {
        to[result] = first;
        if (result + 1 < results) to[result + 1] = second;
      }
    });
  } else {
    __syncthreads();  // the stages' memory is reused
    bf16* const staged = reinterpret_cast<bf16*>(memory);
    if (data && add) {
      move_staged<cols, data, true>(walk, staged, first_pixel, first_result, results, vectors, out);
      __syncthreads();
    }
    for_each_pair<pixels_of_tile, cols>(sums, [&](int row, int col, float first, float second) {
      bf16* const to = staged + row * staged_row<cols> + col;
      if (data && add) {
        const Pack<bf16, 2> before = load_pack<2>(to);
        first += static_cast<float>(before.values[0]), second += static_cast<float>(before.values[1]);
      }
      store_pack(to, Pack<bf16, 2>{{bf16(first), bf16(second)}});
    });
    __syncthreads();
    if constexpr (data) {
      if (extras.sums) {
        const std::int64_t tiles = quotient(pixel_blocks, extras.groups);  // of one class and group
        const std::int64_t place = tile - class_index * static_cast<unsigned>(pixel_blocks);
        const std::int64_t group = quotient(place, tiles);
        const std::int64_t unit = (group * sizes.stride * sizes.stride + class_index) * tiles + place - group * tiles;
        float(*const parts)[threads_of_block] =
            reinterpret_cast<float(*)[threads_of_block]>(staged + pixels_of_tile * staged_row<cols>);
        return store_masked<cols>(walk, staged, parts, first_pixel, first_result, results, group, unit, extras, out);
      }
    }
    move_staged<cols, data>(walk, staged, first_pixel, first_result, results, vectors, out);
    if constexpr (!data) {
      if (extras.mean) {
        const std::int64_t rows = walk.pixels - first_pixel;
        store_moments<cols>(staged, reinterpret_cast<Moments*>(staged + pixels_of_tile * staged_row<cols>),
                            rows < pixels_of_tile ? static_cast<int>(rows) : pixels_of_tile, first_result, results,
                            first_pixel / pixels_of_tile, extras);
      }
    }
  }
}

// ---- weights as the gathers read them

/// Copies rows of `from` values into rows of `to`, with zeros after them.
template <class T, class W>
__global__ void convert_weights(std::int64_t rows, int from, int to, const W* w, T* out) {
  for (std::int64_t i = grid_thread(); i < rows * to; i += grid_threads()) {
    const std::int64_t row = quotient(i, to), col = i - row * to;
    out[i] = static_cast<T>(col < from ? static_cast<float>(w[row * from + col]) : 0.0f);
  }
}

// ---- launches

template <class T, int cols, bool data>
void launch_gather(Device& device, const ConvShape& shape, const T* source, const T* weights, T* out,
                   const ConvExtras<data>& extras, bool add) {
  constexpr int width = std::is_same_v<T, float> ? 2 : vector_width<T>;
  const std::int64_t results = data ? shape.in_channels : shape.out_channels;
  const std::int64_t classes = data ? shape.stride * shape.stride : 1;
  const std::int64_t pixel_blocks = ceil_div(conv_walk<data>(ConvSizes(shape), 0).pixels, pixels_of_tile);
  const bool vectors = results % width == 0 && aligned_to<width * sizeof(T)>(out);
  launch(data ? "conv_tensor_data" : "conv_tensor_forward", conv_tensor_gather<T, cols, data>,
         static_cast<unsigned>(classes * pixel_blocks * ceil_div(results, cols)), threads_of_block, device.stream(),
         ConvSizes(shape), static_cast<int>(pixel_blocks), source, weights, out, vectors, add, extras);
}

/// Tiles of 128 channels if they still give every multiprocessor a block; only for bf16, as f32 lacks the registers.
template <class T, bool data>
void gather(Device& device, const ConvShape& shape, ConstArray source, ConstArray w, Array out,
            const ConvExtras<data>& extras, bool add = false) {
  const int row = static_cast<int>(shape.in_channels), filled = data ? whole<vector_width<T>>(row) : row;
  const std::int64_t rows = shape.weight_size() / row;
  const bool ready = filled == row && w.dtype == source.dtype && aligned_to<16>(w.data);
  const Scratch<T> converted(device, ready ? 0 : rows * filled);
  const auto convert = [&](const auto* from) {
    launch("conv_convert_weights", convert_weights<T, std::remove_cv_t<std::remove_pointer_t<decltype(from)>>>,
           blocks_for(rows * filled, 1024), threads_of_block, device.stream(), rows, row, filled, from,
           converted.data());
  };
  if (!ready && w.dtype == source.dtype) convert(w.as<T>());
  if (!ready && w.dtype != source.dtype) convert(w.as<float>());
  const T* weights = ready ? w.as<T>() : converted.data();
  if constexpr (std::is_same_v<T, bf16> && !data)
    if (narrow_fits(shape, out))
      return narrow_conv2d(device, shape, source.as<bf16>(), weights, out.as<bf16>(), extras);
  const std::int64_t results = data ? shape.in_channels : shape.out_channels;
  const std::int64_t pixels =
      data ? shape.batch * shape.in_height * shape.in_width : shape.batch * shape.out_height() * shape.out_width();
  const bool wide =
      results > 64 && ceil_div(pixels, pixels_of_tile) * ceil_div(results, 128) >= device.multiprocessors();
  if constexpr (std::is_same_v<T, bf16>)
    if (wide) return launch_gather<T, 128, data>(device, shape, source.as<T>(), weights, out.as<T>(), extras, add);
  launch_gather<T, 64, data>(device, shape, source.as<T>(), weights, out.as<T>(), extras, add);
}

}  // namespace

std::int64_t conv_data_tiles(const ConvShape& shape, std::int64_t groups) {
  const std::int64_t classes = shape.stride * shape.stride;
  const std::int64_t pixels = conv_walk<true>(ConvSizes(shape), 0).pixels;
  const bool equal = shape.in_height % shape.stride == 0 && shape.in_width % shape.stride == 0;
  if (groups > 1 && (!equal || shape.batch % groups != 0 || pixels / groups % pixels_of_tile != 0)) return 0;
  return classes * ceil_div(pixels, pixels_of_tile) / groups;
}

void weights_to_bf16(Device& device, ConstArray w, bf16* out) {
  launch("conv_convert_weights", convert_weights<bf16, float>, blocks_for(w.size, 1024), threads_of_block,
         device.stream(), w.size, 1, 1, w.as<float>(), out);
}

bool tensor_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y,
                   const ConvStatistics& statistics) {
  if (!tensor_fits(shape, x.dtype, shape.in_channels, x)) return false;
  if (x.dtype == DType::bf16)
    gather<bf16, false>(device, shape, x, w, y, statistics);
  else if (!statistics.mean)
    gather<float, false>(device, shape, x, w, y, statistics);
  else
    return false;
  return true;
}

bool tensor_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx,
                        const ConvReluSums& relu, bool add) {
  if (!tensor_fits(shape, g.dtype, shape.out_channels, g)) return false;
  if (g.dtype == DType::bf16)
    gather<bf16, true>(device, shape, g, w, dx, relu, add);
  else if (!relu.sums)
    gather<float, true>(device, shape, g, w, dx, {}, add);
  else
    return false;
  return true;
}

}  // namespace vergence::VERGENCE_GPU
