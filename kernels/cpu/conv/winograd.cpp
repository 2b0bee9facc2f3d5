// Winograd convolution F(4x4, 3x3) on NHWC f32.
//
// The image is cut into output tiles of 4 x 4, each reading a 6 x 6 patch. Patches (V = B'dB) and weights (U = GwG')
// are transformed, which turns the convolution into 36 matrix products, one per point of the transformed tile:
//   forward  M[point](tile, out) = V[point](tile, in) U[point](in, out), then Y = A'MA;
//   data     the same with the weights turned by 180 degrees and their channels exchanged;
//   weight   W[point](out, in) = sum over tiles of (A g A')[point](tile, out) V[point](tile, in), then dw = G'WG.
// Transforms work on `float_lanes` channels at once. Tiles are processed in chunks. If the transformed weights fit a
// core's second-level cache, each thread takes its own chunks through all stages there; otherwise all threads share one
// larger chunk and split each stage, so that the transformed weights are read once per chunk.
#include "kernels/cpu/conv/winograd.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/conv/block_product.h"
#include "kernels/cpu/conv/winograd_lines.h"
#include "kernels/cpu/workspace.h"
#include "kernels/parallel.h"

namespace vergence {

namespace {

using namespace winograd;

constexpr std::int64_t private_weights = 1 << 20;  // bytes of transformed weights up to which chunks are private
constexpr std::int64_t private_chunk = 640 << 10;  // bytes of a private chunk's transformed tiles
constexpr std::int64_t shared_chunk = 24ll << 20;  // bytes of a shared chunk's
constexpr std::int64_t row_block = 96;             // rows of a product that one task computes

/// NHWC images cut into tiles of 4 x 4.
struct Image {
  std::int64_t batch, height, width, channels;

  std::int64_t down() const { return (height + out_side - 1) / out_side; }
  std::int64_t across() const { return (width + out_side - 1) / out_side; }
  std::int64_t tiles() const { return batch * down() * across(); }

  /// The cells of a side x side patch that begins `margin` before the tile; `outside` replaces cells beyond the image.
  template <int side, int margin, class Float>
  void cells(Float* base, std::int64_t tile, Float* outside, Float* (&cell)[side][side]) const {
    const std::int64_t top = tile / across() % down() * out_side - margin, left = tile % across() * out_side - margin;
    Float* image = base + tile / across() / down() * height * width * channels;
    for (std::int64_t i = 0; i < side; ++i)
      for (std::int64_t j = 0; j < side; ++j) {
        const std::int64_t h = top + i, w = left + j;
        const bool inside = h >= 0 && h < height && w >= 0 && w < width;
        cell[i][j] = inside ? image + (h * width + w) * channels : outside;
      }
  }
};

/// 36 matrices (rows, channels), one per point, in row-major order or in the panels of block_product.h.
struct Transformed {
  std::int64_t rows, channels;
  float* data = nullptr;

  /// An odd number of 64-byte lines, so that the 36 streams of a transform map to different cache sets.
  std::int64_t step() const { return (((rows + spare_rows) * channels + 15) / 16 | 1) * 16; }
  std::int64_t bytes() const { return points * step() * static_cast<std::int64_t>(sizeof(float)); }
  float* row(std::int64_t row, std::int64_t channel) const { return data + row * channels + channel; }
  float* panel(std::int64_t row, std::int64_t channel) const {
    const std::int64_t in_panel = channel % panel_width, first = channel - in_panel,
                       width = std::min(panel_width, channels - first);
    return data + first * rows + row * width + in_panel;
  }
};

/// V: rows are the `count` tiles from `first` on, in row-major order or in panels.
template <bool panels>
void transform_inputs(const Image& image, const float* x, std::int64_t first, std::int64_t count,
                      const Transformed& v) {
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    const std::vector<float> zeros(static_cast<std::size_t>(image.channels));
    const std::int64_t step = v.step();
    for (std::int64_t t = begin; t < end; ++t) {
      const float* cell[in_side][in_side];
      image.cells<in_side, 1>(x, first + t, zeros.data(), cell);
      for (std::int64_t c = 0; c < image.channels; c += float_lanes) {
        float* to = panels ? v.panel(t, c) : v.row(t, c);
        transform<InputLine>(
            [&](int i, int j, FloatVector& value) { value = vector_at(cell[i][j] + c); },
            [&](int i, int j, const FloatVector& value) { vector_at(to + (i * in_side + j) * step) = value; });
      }
    }
  });
}

/// A g A' of the tiles of an output gradient.
void transform_gradients(const Image& image, const float* g, std::int64_t first, std::int64_t count,
                         const Transformed& v) {
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    const std::vector<float> zeros(static_cast<std::size_t>(image.channels));
    const std::int64_t step = v.step();
    for (std::int64_t t = begin; t < end; ++t) {
      const float* cell[out_side][out_side];
      image.cells<out_side, 0>(g, first + t, zeros.data(), cell);
      for (std::int64_t c = 0; c < image.channels; c += float_lanes) {
        float* to = v.row(t, c);
        transform<GradientLine>(
            [&](int i, int j, FloatVector& value) { value = vector_at(cell[i][j] + c); },
            [&](int i, int j, const FloatVector& value) { vector_at(to + (i * in_side + j) * step) = value; });
      }
    }
  });
}

/// Y = A'MA, written to the tiles' cells.
void transform_outputs(const Image& image, const Transformed& m, std::int64_t first, std::int64_t count, float* y) {
  parallel_for(count, 8, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> discarded(static_cast<std::size_t>(image.channels));
    const std::int64_t step = m.step();
    for (std::int64_t t = begin; t < end; ++t) {
      float* cell[out_side][out_side];
      image.cells<out_side, 0>(y, first + t, discarded.data(), cell);
      for (std::int64_t c = 0; c < image.channels; c += float_lanes) {
        const float* from = m.row(t, c);
        transform<OutputLine>(
            [&](int i, int j, FloatVector& value) { value = vector_at(from + (i * in_side + j) * step); },
            [&](int i, int j, const FloatVector& value) { vector_at(cell[i][j] + c) = value; });
      }
    }
  });
}

/// Transforms `float_lanes` channels of a 3 x 3 kernel with tap k at from + k * step (turned: in reverse order).
void transform_kernel(const float* from, std::int64_t step, bool turned, float* to, std::int64_t to_step) {
  transform<WeightLine>(
      [&](int i, int j, FloatVector& value) {
        const int tap = i * kernel_side + j;
        value = vector_at(from + (turned ? 8 - tap : tap) * step);
      },
      [&](int i, int j, const FloatVector& value) { vector_at(to + (i * in_side + j) * to_step) = value; });
}

/// U for the forward pass: rows are input channels. Weights are first transposed in blocks: OHWI stores input channels
/// contiguously, but the products need contiguous output channels. A block spans a panel, whose rows it writes whole.
void transform_weights(const float* w, const Transformed& u) {
  constexpr int taps = kernel_side * kernel_side;
  const std::int64_t ins = u.rows, outs = u.channels, strips = ins / float_lanes,
                     panels = (outs + panel_width - 1) / panel_width;
  parallel_for(panels * strips, 1, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) float block[taps][float_lanes][panel_width];
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t out = task / strips * panel_width, width = std::min(panel_width, outs - out),
                         in = task % strips * float_lanes;
      for (std::int64_t o = 0; o < width; ++o)
        for (int tap = 0; tap < taps; ++tap) {
          const float* from = w + ((out + o) * taps + tap) * ins + in;
          __builtin_prefetch(from + float_lanes, 0, 2);  // too many streams for the hardware prefetcher
          for (int i = 0; i < float_lanes; ++i) block[tap][i][o] = from[i];
        }
      for (int i = 0; i < float_lanes; ++i)
        for (std::int64_t o = 0; o < width; o += float_lanes)
          transform_kernel(&block[0][i][o], float_lanes * panel_width, false, u.panel(in + i, out + o), u.step());
    }
  });
}

/// U for the data pass: rows are the convolution's output channels; kernels are turned.
void transform_turned_weights(const float* w, const Transformed& u) {
  constexpr int taps = kernel_side * kernel_side;
  const std::int64_t outs = u.rows, ins = u.channels;
  parallel_for(outs, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t out = begin; out < end; ++out)
      for (std::int64_t in = 0; in < ins; in += float_lanes)
        transform_kernel(w + out * taps * ins + in, ins, true, u.panel(out, in), u.step());
  });
}

/// The 36 products; `product(point, first row, rows)` describes a part of one.
template <class Product>
void multiply_points(std::int64_t rows, const Product& product) {
  const std::int64_t blocks = (rows + row_block - 1) / row_block;
  parallel_for(points * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task % blocks * row_block;
      multiply(product(task / blocks, first, std::min(row_block, rows - first)));
    }
  });
}

/// Tiles per chunk: chunks of about equal size whose transformed tiles take about `bytes` at most. A multiple of 48,
/// the common multiple of the row blocks of a product.
std::int64_t chunk_size(std::int64_t tiles, std::int64_t channels, std::int64_t bytes) {
  const std::int64_t fitting = bytes / (points * channels * static_cast<std::int64_t>(sizeof(float))),
                     chunks = (tiles - 1) / std::max<std::int64_t>(48, fitting) + 1,
                     equal = (tiles + chunks - 1) / chunks;
  return std::min(tiles, (equal + 47) / 48 * 48);
}

/// Forward and data: y = convolution of x with transformed weights u.
struct Convolution {
  Image in, out;
  Transformed u;
  const float* x;
  float* y;

  void chunk(std::int64_t first, std::int64_t count, Transformed v, Transformed m) const {
    v.rows = m.rows = count;
    transform_inputs<false>(in, x, first, count, v);
    multiply_points(count, [&](std::int64_t point, std::int64_t row, std::int64_t rows) {
      return BlockProduct{rows,
                          out.channels,
                          in.channels,
                          v.row(row, 0) + point * v.step(),
                          in.channels,
                          1,
                          u.data + point * u.step(),
                          m.row(row, 0) + point * m.step(),
                          false};
    });
    transform_outputs(out, m, first, count, y);
  }
  /// Processes chunks [begin, end) one after the other.
  void chunks(std::int64_t begin, std::int64_t end, std::int64_t size, Backend& pool) const {
    Transformed v{size, in.channels}, m{size, out.channels};
    const Workspace v_memory(pool, v.bytes()), m_memory(pool, m.bytes());
    v.data = v_memory.as<float>(), m.data = m_memory.as<float>();
    for (std::int64_t c = begin; c < end; ++c) chunk(c * size, std::min(size, in.tiles() - c * size), v, m);
  }
  void run(Backend& pool) const {
    const bool alone = u.bytes() <= private_weights;
    const std::int64_t size = chunk_size(in.tiles(), in.channels + out.channels, alone ? private_chunk : shared_chunk),
                       count = (in.tiles() + size - 1) / size;
    if (alone)
      parallel_for(count, 1, [&](std::int64_t begin, std::int64_t end) { chunks(begin, end, size, pool); });
    else
      chunks(0, count, size, pool);
  }
};

/// The weight gradient of images x and output gradients g.
struct WeightGradient {
  Image in, out;
  const float *x, *g;

  /// Adds chunks [begin, end) to `sums`; the first one overwrites it.
  void chunks(std::int64_t begin, std::int64_t end, std::int64_t size, const Transformed& sums, Backend& pool) const {
    Transformed v{size, in.channels}, a{size, out.channels};
    const Workspace v_memory(pool, v.bytes()), a_memory(pool, a.bytes());
    v.data = v_memory.as<float>(), a.data = a_memory.as<float>();
    for (std::int64_t c = begin; c < end; ++c) {
      const std::int64_t first = c * size, count = std::min(size, in.tiles() - first);
      v.rows = a.rows = count;
      transform_inputs<true>(in, x, first, count, v);
      transform_gradients(out, g, first, count, a);
      multiply_points(out.channels, [&](std::int64_t point, std::int64_t row, std::int64_t rows) {
        return BlockProduct{rows,
                            in.channels,
                            count,
                            a.row(0, row) + point * a.step(),
                            1,
                            out.channels,
                            v.data + point * v.step(),
                            sums.row(row, 0) + point * sums.step(),
                            c > begin};
      });
    }
  }
  /// dw = G'WG, W the sum of the parts.
  void finish(const std::vector<Transformed>& parts, float* dw) const {
    parallel_for(out.channels, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o)
        for (std::int64_t c = 0; c < in.channels; c += float_lanes) {
          const std::int64_t step = parts[0].step();
          float* to = dw + o * kernel_side * kernel_side * in.channels + c;
          transform<WeightGradientLine>(
              [&](int i, int j, FloatVector& value) {
                value = vector_at(parts[0].row(o, c) + (i * in_side + j) * step);
                for (std::size_t part = 1; part < parts.size(); ++part)
                  value += vector_at(parts[part].row(o, c) + (i * in_side + j) * step);
              },
              [&](int i, int j, const FloatVector& value) {
                vector_at(to + (i * kernel_side + j) * in.channels) = value;
              });
        }
    });
  }
  void run(float* dw, Backend& pool) const {
    Transformed sums{out.channels, in.channels};
    const bool alone = sums.bytes() <= private_weights;
    const std::int64_t size = chunk_size(in.tiles(), in.channels + out.channels, alone ? private_chunk : shared_chunk),
                       count = (in.tiles() + size - 1) / size,
                       parts = alone ? std::min<std::int64_t>(omp_get_max_threads(), count) : 1;
    const Workspace memory(pool, parts * sums.bytes());
    std::vector<Transformed> all(static_cast<std::size_t>(parts), sums);
    for (std::int64_t part = 0; part < parts; ++part) all[part].data = memory.as<float>() + part * points * sums.step();
    if (alone)
      parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t part = begin; part < end; ++part)
          chunks(count * part / parts, count * (part + 1) / parts, size, all[part], pool);
      });
    else
      chunks(0, count, size, sums = all[0], pool);
    finish(all, dw);
  }
};

}  // namespace

void winograd_conv(const ConvShape& s, ConvPass pass, const float* first, const float* second, float* out,
                   Backend& pool) {
  require(winograd_applies(s), "winograd: not a 3x3 convolution of stride 1 in whole vectors of channels");
  const Image inputs{s.batch, s.in_height, s.in_width, s.in_channels},
      outputs{s.batch, s.in_height, s.in_width, s.out_channels};
  if (pass == ConvPass::weight) return WeightGradient{inputs, outputs, first, second}.run(out, pool);
  const bool forward = pass == ConvPass::forward;
  Transformed u = forward ? Transformed{s.in_channels, s.out_channels} : Transformed{s.out_channels, s.in_channels};
  const Workspace memory(pool, u.bytes());
  u.data = memory.as<float>();
  forward ? transform_weights(second, u) : transform_turned_weights(second, u);
  Convolution{forward ? inputs : outputs, forward ? outputs : inputs, u, first, out}.run(pool);
}

}  // namespace vergence
