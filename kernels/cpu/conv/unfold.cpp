// Convolution as a matrix product of unfolded patches, bf16.
//   forward  y = patches(x) w', a row of patches per output pixel;
//   weight   dw = g' patches(x);
//   data     dx = patches(g) w, separately for each of the stride x stride phases of the input pixels: pixels of one
//            phase are reached by the same taps of the kernel, so no product is spent on zeros.
// The patches of a few images at a time are kept in temporary memory.
#include "kernels/cpu/conv/unfold.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/workspace.h"
#include "kernels/parallel.h"

namespace vergence {

namespace {

constexpr std::int64_t patch_memory = 24ll << 20;  // bytes

/// One spatial axis of a gather: which source cell each tap reads for each cell.
struct Axis {
  std::int64_t cells = 0, source_cells = 0;
  std::vector<std::int64_t> taps;    // of the kernel
  std::vector<std::int64_t> source;  // (taps, cells); -1 on padding

  std::int64_t at(std::int64_t tap, std::int64_t cell) const { return source[tap * cells + cell]; }
};

/// Forward: output cells read input cells.
Axis forward_axis(const ConvShape& s, std::int64_t kernel, std::int64_t in, std::int64_t out) {
  Axis axis{out, in, {}, {}};
  for (std::int64_t tap = 0; tap < kernel; ++tap) {
    axis.taps.push_back(tap);
    for (std::int64_t cell = 0; cell < out; ++cell) {
      const std::int64_t from = cell * s.stride - s.padding + tap * s.dilation;
      axis.source.push_back(from >= 0 && from < in ? from : -1);
    }
  }
  return axis;
}

/// Backward: input cells phase, phase + stride, ... read the output cells that they contributed to.
Axis data_axis(const ConvShape& s, std::int64_t kernel, std::int64_t in, std::int64_t out, std::int64_t phase) {
  Axis axis{phase < in ? (in - phase - 1) / s.stride + 1 : 0, out, {}, {}};
  for (std::int64_t tap = 0; tap < kernel; ++tap) {
    const std::int64_t first = phase + s.padding - tap * s.dilation;
    if (first % s.stride != 0) continue;
    axis.taps.push_back(tap);
    for (std::int64_t cell = 0; cell < axis.cells; ++cell) {
      const std::int64_t from = first / s.stride + cell;
      axis.source.push_back(from >= 0 && from < out ? from : -1);
    }
  }
  return axis;
}

/// A gather of patches: rows are cells (image, vertical, horizontal), columns (tap, channel).
struct Unfold {
  Axis down, across;
  std::int64_t channels;

  std::int64_t rows() const { return down.cells * across.cells; }  // of an image
  std::int64_t columns() const { return static_cast<std::int64_t>(down.taps.size() * across.taps.size()) * channels; }
  /// The number of images whose patches fit the temporary memory; a multiple of 32 if possible, as bf16 products
  /// prefer.
  std::int64_t images(std::int64_t batch) const {
    const std::int64_t fitting = patch_memory / std::max<std::int64_t>(1, rows() * columns() * 2);
    return std::clamp<std::int64_t>(fitting > 32 ? fitting / 32 * 32 : fitting, 1, batch);
  }
  void gather(const bf16* images, std::int64_t count, bf16* patches) const {
    const std::int64_t vertical = static_cast<std::int64_t>(down.taps.size()),
                       horizontal = static_cast<std::int64_t>(across.taps.size());
    const std::size_t bytes = static_cast<std::size_t>(channels) * sizeof(bf16);
    parallel_for(count * down.cells, 1, [&](std::int64_t begin, std::int64_t end) {
      bf16* to = patches + begin * across.cells * columns();
      for (std::int64_t row = begin; row < end; ++row)
        for (std::int64_t cell = 0; cell < across.cells; ++cell)
          for (std::int64_t i = 0; i < vertical; ++i) {
            const std::int64_t h = down.at(i, row % down.cells);
            const bf16* line = images + (row / down.cells * down.source_cells + h) * across.source_cells * channels;
            for (std::int64_t j = 0; j < horizontal; ++j, to += channels) {
              const std::int64_t w = across.at(j, cell);
              if (h >= 0 && w >= 0)
                std::memcpy(to, line + w * channels, bytes);
              else
                std::fill_n(to, channels, bf16{});
            }
          }
    });
  }
};

Unfold forward_unfold(const ConvShape& s) {
  return {forward_axis(s, s.kernel_height, s.in_height, s.out_height()),
          forward_axis(s, s.kernel_width, s.in_width, s.out_width()), s.in_channels};
}

Array array_of(const Workspace& memory, std::int64_t size, DType type) { return {memory.data(), size, type}; }

void copy(Backend& backend, ConstArray from, Array to) { backend.map(Map::copy, 1, to.size, {from}, {}, 1, 0, to); }

void forward(const ConvShape& s, const bf16* x, ConstArray w, bf16* y, Backend& backend) {
  const Unfold unfold = forward_unfold(s);
  const std::int64_t images = unfold.images(s.batch);
  const Workspace patches(backend, images * unfold.rows() * unfold.columns() * 2);
  for (std::int64_t first = 0; first < s.batch; first += images) {
    const std::int64_t count = std::min(images, s.batch - first), rows = count * unfold.rows();
    unfold.gather(x + first * s.in_height * s.in_width * s.in_channels, count, patches.as<bf16>());
    backend.gemm(false, true, rows, s.out_channels, unfold.columns(),
                 array_of(patches, rows * unfold.columns(), DType::bf16), w, {},
                 {y + first * unfold.rows() * s.out_channels, rows * s.out_channels, DType::bf16});
  }
}

/// dw has type f32.
void weight(const ConvShape& s, const bf16* x, const bf16* g, Array dw, Backend& backend) {
  const Unfold unfold = forward_unfold(s);
  const std::int64_t images = unfold.images(s.batch);
  const Workspace patches(backend, images * unfold.rows() * unfold.columns() * 2),
      part(backend, images < s.batch ? dw.size * 4 : 0);
  for (std::int64_t first = 0; first < s.batch; first += images) {
    const std::int64_t count = std::min(images, s.batch - first), rows = count * unfold.rows();
    unfold.gather(x + first * s.in_height * s.in_width * s.in_channels, count, patches.as<bf16>());
    const Array product = first == 0 ? dw : array_of(part, dw.size, DType::f32);
    backend.gemm(true, false, s.out_channels, unfold.columns(), rows,
                 {g + first * unfold.rows() * s.out_channels, rows * s.out_channels, DType::bf16},
                 array_of(patches, rows * unfold.columns(), DType::bf16), {}, product);
    if (first > 0) backend.map(Map::add, 1, dw.size, {dw}, {product}, 1, 1, dw);
  }
}

/// Writes the pixels of a phase (`from`, contiguous) to their places; writes zeros if `from` is null.
void scatter(const ConvShape& s, const Unfold& unfold, std::int64_t phase_h, std::int64_t phase_w, const bf16* from,
             std::int64_t count, bf16* dx) {
  const std::size_t bytes = static_cast<std::size_t>(s.in_channels) * sizeof(bf16);
  parallel_for(count * unfold.down.cells, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t h = row / unfold.down.cells * s.in_height + row % unfold.down.cells * s.stride + phase_h;
      for (std::int64_t cell = 0; cell < unfold.across.cells; ++cell) {
        bf16* to = dx + (h * s.in_width + cell * s.stride + phase_w) * s.in_channels;
        if (from)
          std::memcpy(to, from + (row * unfold.across.cells + cell) * s.in_channels, bytes);
        else
          std::fill_n(to, s.in_channels, bf16{});
      }
    }
  });
}

/// The rows (tap, output channel) of weights for the taps of `unfold`, each over all input channels.
void select_weights(const ConvShape& s, const Unfold& unfold, const bf16* w, bf16* out) {
  const std::int64_t ins = s.in_channels;
  for (const std::int64_t kh : unfold.down.taps)
    for (const std::int64_t kw : unfold.across.taps) {
      const std::int64_t tap = kh * s.kernel_width + kw, taps = s.kernel_height * s.kernel_width;
      parallel_for(s.out_channels, 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o)
          std::memcpy(out + o * ins, w + (o * taps + tap) * ins, static_cast<std::size_t>(ins) * sizeof(bf16));
      });
      out += s.out_channels * ins;
    }
}

void data_phase(const ConvShape& s, std::int64_t phase_h, std::int64_t phase_w, const bf16* g, const bf16* w, bf16* dx,
                Backend& backend) {
  const Unfold unfold{data_axis(s, s.kernel_height, s.in_height, s.out_height(), phase_h),
                      data_axis(s, s.kernel_width, s.in_width, s.out_width(), phase_w), s.out_channels};
  const std::int64_t depth = unfold.columns(), ins = s.in_channels;
  if (unfold.rows() == 0) return;
  if (depth == 0) return scatter(s, unfold, phase_h, phase_w, nullptr, s.batch, dx);
  const std::int64_t images = unfold.images(s.batch), max_rows = images * unfold.rows();
  const bool in_place = s.stride == 1;
  const Workspace weights(backend, depth * ins * 2), patches(backend, max_rows * depth * 2),
      pixels(backend, in_place ? 0 : max_rows * ins * 2);
  select_weights(s, unfold, w, weights.as<bf16>());
  for (std::int64_t first = 0; first < s.batch; first += images) {
    const std::int64_t count = std::min(images, s.batch - first), rows = count * unfold.rows();
    bf16* target = dx + first * s.in_height * s.in_width * ins;
    unfold.gather(g + first * s.out_height() * s.out_width() * s.out_channels, count, patches.as<bf16>());
    backend.gemm(false, false, rows, ins, depth, array_of(patches, rows * depth, DType::bf16),
                 array_of(weights, depth * ins, DType::bf16), {},
                 {in_place ? target : pixels.as<bf16>(), rows * ins, DType::bf16});
    if (!in_place) scatter(s, unfold, phase_h, phase_w, pixels.as<bf16>(), count, target);
  }
}

}  // namespace

void unfold_conv(const ConvShape& s, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& backend) {
  require(s.groups == 1 && first.dtype == DType::bf16, "conv: unfolding is for bf16 with groups 1");
  const ConstArray small = pass == ConvPass::weight ? ConstArray(out) : second;
  const DType wanted = pass == ConvPass::weight ? DType::f32 : DType::bf16;
  const bool convert = small.dtype != wanted;
  const Workspace converted(backend, convert ? small.size * size_of(wanted) : 0);
  const Array other = array_of(converted, small.size, wanted);
  if (pass == ConvPass::weight) {
    weight(s, first.as<bf16>(), second.as<bf16>(), convert ? other : out, backend);
    if (convert) copy(backend, other, out);
    return;
  }
  if (convert) copy(backend, second, other);
  const ConstArray w = convert ? ConstArray(other) : second;
  if (pass == ConvPass::forward) return forward(s, first.as<bf16>(), w, out.as<bf16>(), backend);
  for (std::int64_t h = 0; h < s.stride; ++h)
    for (std::int64_t v = 0; v < s.stride; ++v)
      data_phase(s, h, v, first.as<bf16>(), w.as<bf16>(), out.as<bf16>(), backend);
}

}  // namespace vergence
