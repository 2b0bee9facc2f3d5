// Plain loops for matrix products and convolutions.
//
// Products, convolutions and their data gradients are one computation: each output pixel (or matrix row) is a sum, over
// the taps of the kernel, of a source pixel's channels times a matrix of weights. The weights are packed in panels of
// `lanes` output channels, four output pixels share each panel, and a tap on padding reads zeros.
#include "kernels/cpu/reference.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/parallel.h"

namespace vergence::plain {

namespace {

constexpr int lanes = 16, pixels = 4;

std::int64_t panels_of(std::int64_t channels) { return (channels + lanes - 1) / lanes; }

/// Values of `in` rounded to T, in T's compute type.
template <class T>
std::vector<Compute<T>> rounded(ConstArray in) {
  std::vector<Compute<T>> out(static_cast<std::size_t>(in.size));
  with_float(in.dtype, [&](auto type) {
    const auto* values = in.as<decltype(type)>();
    for (std::int64_t i = 0; i < in.size; ++i) out[i] = static_cast<Compute<T>>(T(static_cast<Compute<T>>(values[i])));
  });
  return out;
}

/// Weights as [group][panel][tap][channel][lane], zero in lanes beyond the last output channel.
template <class Real>
struct Panels {
  std::int64_t groups, taps, channels /* summed over, per group */, outputs /* per group */;
  std::vector<Real> values;

  /// `at(group, tap, channel, output)` is a weight.
  template <class At>
  Panels(std::int64_t groups, std::int64_t taps, std::int64_t channels, std::int64_t outputs, const At& at)
      : groups(groups),
        taps(taps),
        channels(channels),
        outputs(outputs),
        values(static_cast<std::size_t>(groups * panels_of(outputs) * taps * channels * lanes)) {
    Real* to = values.data();
    for (std::int64_t group = 0; group < groups; ++group)
      for (std::int64_t first = 0; first < outputs; first += lanes)
        for (std::int64_t tap = 0; tap < taps; ++tap)
          for (std::int64_t channel = 0; channel < channels; ++channel)
            for (std::int64_t o = first; o < first + lanes; ++o)
              *to++ = o < outputs ? at(group, tap, channel, o) : Real{};
  }
  const Real* panel(std::int64_t group, std::int64_t index) const {
    return values.data() + (group * panels_of(outputs) + index) * taps * channels * lanes;
  }
};

/// Vectors of `lanes` values, by the compilers' vector extensions.
template <class Real>
struct Lanes {
  typedef Real Vector __attribute__((vector_size(64), aligned(sizeof(Real)), may_alias));
  static constexpr int vectors = lanes * static_cast<int>(sizeof(Real)) / 64;
};

/// sums[p][lane] += source[p][c] panel[c][lane], summed over c. The loops over pixels and lanes are unrolled so that
/// the sums stay in registers.
template <class T, class Real>
void multiply(const T* const* source, std::int64_t channels, const Real* panel, Real (&sums)[pixels][lanes]) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int vectors = Lanes<Real>::vectors;
  Vector local[pixels][vectors];
  std::memcpy(local, sums, sizeof local);
  for (std::int64_t c = 0; c < channels; ++c, panel += lanes)
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v)
        local[p][v] += static_cast<Real>(source[p][c]) * reinterpret_cast<const Vector*>(panel)[v];
  std::memcpy(sums, local, sizeof local);
}

/// Computes up to four output pixels, `out_channels` apart, starting at `out`. source[tap * pixels + p] is the pixel
/// that the tap reads for output p.
template <class T, class Real, class Out>
void compute_pixels(const Panels<Real>& weights, const std::vector<const T*>& source, const std::vector<T>& zeros,
                    const Real* bias, int count, Out* out) {
  const std::int64_t out_channels = weights.groups * weights.outputs;
  const T* shifted[pixels];
  for (std::int64_t group = 0; group < weights.groups; ++group)
    for (std::int64_t index = 0; index < panels_of(weights.outputs); ++index) {
      Real sums[pixels][lanes] = {};
      const Real* panel = weights.panel(group, index);
      for (std::int64_t tap = 0; tap < weights.taps; ++tap, panel += weights.channels * lanes) {
        bool inside = false;
        for (int p = 0; p < pixels; ++p) {
          const T* pixel = source[tap * pixels + p];
          inside |= pixel != nullptr;
          shifted[p] = pixel ? pixel + group * weights.channels : zeros.data();
        }
        if (inside) multiply(shifted, weights.channels, panel, sums);
      }
      const std::int64_t first = index * lanes, used = std::min<std::int64_t>(lanes, weights.outputs - first);
      for (int p = 0; p < count; ++p)
        for (std::int64_t lane = 0; lane < used; ++lane) {
          const std::int64_t channel = group * weights.outputs + first + lane;
          out[p * out_channels + channel] = static_cast<Out>(sums[p][lane] + (bias ? bias[channel] : Real{}));
        }
    }
}

/// Computes a grid of rows x width output pixels; `pixel(row, column, tap)` is the source pixel or null (padding).
template <class T, class Real, class Out, class Pixel>
void compute_grid(const Panels<Real>& weights, std::int64_t rows, std::int64_t width, const Real* bias, Out* out,
                  const Pixel& pixel) {
  const std::int64_t out_channels = weights.groups * weights.outputs;
  parallel_for(rows, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const T*> source(static_cast<std::size_t>(weights.taps * pixels));
    const std::vector<T> zeros(static_cast<std::size_t>(weights.channels), T(Real{}));
    for (std::int64_t row = begin; row < end; ++row)
      for (std::int64_t first = 0; first < width; first += pixels) {
        const int count = static_cast<int>(std::min<std::int64_t>(pixels, width - first));
        for (std::int64_t tap = 0; tap < weights.taps; ++tap)
          for (int p = 0; p < pixels; ++p) source[tap * pixels + p] = p < count ? pixel(row, first + p, tap) : nullptr;
        compute_pixels(weights, source, zeros, bias, count, out + (row * width + first) * out_channels);
      }
  });
}

template <class T, class Out>
void typed_gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                const T* b, const Compute<T>* bias, Out* out) {
  using Real = Compute<T>;
  std::vector<T> rows;
  if (transpose_a) {
    rows.resize(static_cast<std::size_t>(m * k));
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t p = 0; p < k; ++p) rows[i * k + p] = a[p * m + i];
    a = rows.data();
  }
  const Panels<Real> panels(1, 1, k, n, [&](std::int64_t, std::int64_t, std::int64_t p, std::int64_t j) {
    return static_cast<Real>(transpose_b ? b[j * k + p] : b[p * n + j]);
  });
  const std::int64_t blocks = (m + pixels - 1) / pixels;
  const std::vector<T> zeros(static_cast<std::size_t>(k), T(Real{}));
  parallel_for(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    std::vector<const T*> source(pixels);
    for (std::int64_t row = begin * pixels; row < std::min(m, end * pixels); row += pixels) {
      const int count = static_cast<int>(std::min<std::int64_t>(pixels, m - row));
      for (int p = 0; p < pixels; ++p) source[p] = p < count ? a + (row + p) * k : nullptr;
      compute_pixels(panels, source, zeros, bias, count, out + row * n);
    }
  });
}

/// The cell that `tap` reads for output cell `out` along one axis, or -1 on padding.
std::int64_t source_cell(std::int64_t out, std::int64_t tap, std::int64_t size, const ConvShape& s) {
  const std::int64_t cell = out * s.stride - s.padding + tap * s.dilation;
  return cell >= 0 && cell < size ? cell : -1;
}

/// The output cell that reads input cell `in` through `tap`, or -1.
std::int64_t reading_cell(std::int64_t in, std::int64_t tap, std::int64_t size, const ConvShape& s) {
  const std::int64_t cell = in + s.padding - tap * s.dilation;
  return cell >= 0 && cell % s.stride == 0 && cell / s.stride < size ? cell / s.stride : -1;
}

template <class T>
void forward(const ConvShape& s, const T* x, const std::vector<Compute<T>>& w, T* y) {
  using Real = Compute<T>;
  const std::int64_t taps = s.kernel_height * s.kernel_width, ins = s.in_channels / s.groups,
                     outs = s.out_channels / s.groups, height = s.out_height();
  const Panels<Real> panels(s.groups, taps, ins, outs,
                            [&](std::int64_t group, std::int64_t tap, std::int64_t in, std::int64_t out) {
                              return w[((group * outs + out) * taps + tap) * ins + in];
                            });
  compute_grid<T, Real, T>(panels, s.batch * height, s.out_width(), nullptr, y,
                           [&](std::int64_t row, std::int64_t column, std::int64_t tap) -> const T* {
                             const std::int64_t h = source_cell(row % height, tap / s.kernel_width, s.in_height, s),
                                                c = source_cell(column, tap % s.kernel_width, s.in_width, s);
                             if (h < 0 || c < 0) return nullptr;
                             return x + ((row / height * s.in_height + h) * s.in_width + c) * s.in_channels;
                           });
}

template <class T>
void data_gradient(const ConvShape& s, const T* g, const std::vector<Compute<T>>& w, T* dx) {
  using Real = Compute<T>;
  const std::int64_t taps = s.kernel_height * s.kernel_width, ins = s.in_channels / s.groups,
                     outs = s.out_channels / s.groups, height = s.out_height(), width = s.out_width();
  const Panels<Real> panels(s.groups, taps, outs, ins,
                            [&](std::int64_t group, std::int64_t tap, std::int64_t out, std::int64_t in) {
                              return w[((group * outs + out) * taps + tap) * ins + in];
                            });
  compute_grid<T, Real, T>(panels, s.batch * s.in_height, s.in_width, nullptr, dx,
                           [&](std::int64_t row, std::int64_t column, std::int64_t tap) -> const T* {
                             const std::int64_t h = reading_cell(row % s.in_height, tap / s.kernel_width, height, s),
                                                c = reading_cell(column, tap % s.kernel_width, width, s);
                             if (h < 0 || c < 0) return nullptr;
                             return g + ((row / s.in_height * height + h) * width + c) * s.out_channels;
                           });
}

/// A block of `pixels` output by `lanes` input channels of the weight gradient, for one tap of one group.
template <class T>
struct WeightBlock {
  const ConvShape& s;
  std::int64_t tap, first_out, outs, first_in, ins;  // absolute channels; outs <= pixels, ins <= lanes
  Compute<T> sums[pixels][lanes] = {};

  /// Adds one row of output pixels. The row is summed by itself first: rounding errors then grow with the square root
  /// of the number of rows, not of pixels.
  void add_row(const T* x_row, const T* g_row) {
    using Vector = typename Lanes<Compute<T>>::Vector;
    constexpr int vectors = Lanes<Compute<T>>::vectors;
    Vector row[pixels][vectors] = {};
    Compute<T> values[lanes] = {}, factors[pixels] = {};
    for (std::int64_t column = 0; column < s.out_width(); ++column) {
      const std::int64_t cell = source_cell(column, tap % s.kernel_width, s.in_width, s);
      if (cell < 0) continue;
      const T *x = x_row + cell * s.in_channels + first_in, *g = g_row + column * s.out_channels + first_out;
      for (std::int64_t lane = 0; lane < ins; ++lane) values[lane] = static_cast<Compute<T>>(x[lane]);
      for (std::int64_t o = 0; o < outs; ++o) factors[o] = static_cast<Compute<T>>(g[o]);
#pragma GCC unroll 4
      for (int o = 0; o < pixels; ++o)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) row[o][v] += factors[o] * reinterpret_cast<const Vector*>(values)[v];
    }
    Compute<T> added[pixels][lanes];
    std::memcpy(added, row, sizeof added);
    for (int o = 0; o < pixels; ++o)
      for (int lane = 0; lane < lanes; ++lane) sums[o][lane] += added[o][lane];
  }
  void add_all(const T* x, const T* g) {
    const std::int64_t height = s.out_height();
    for (std::int64_t row = 0; row < s.batch * height; ++row) {
      const std::int64_t h = source_cell(row % height, tap / s.kernel_width, s.in_height, s);
      if (h < 0) continue;
      add_row(x + (row / height * s.in_height + h) * s.in_width * s.in_channels,
              g + row * s.out_width() * s.out_channels);
    }
  }
};

template <class T, class Out>
void weight_gradient(const ConvShape& s, const T* x, const T* g, Out* dw) {
  const std::int64_t taps = s.kernel_height * s.kernel_width, ins = s.in_channels / s.groups,
                     outs = s.out_channels / s.groups, out_blocks = (outs + pixels - 1) / pixels,
                     in_blocks = panels_of(ins);
  parallel_for(s.groups * out_blocks * taps * in_blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t in = task % in_blocks * lanes, tap = task / in_blocks % taps,
                         out = task / in_blocks / taps % out_blocks * pixels,
                         group = task / in_blocks / taps / out_blocks;
      WeightBlock<T> block{s,
                           tap,
                           group * outs + out,
                           std::min<std::int64_t>(pixels, outs - out),
                           group * ins + in,
                           std::min<std::int64_t>(lanes, ins - in)};
      block.add_all(x, g);
      for (std::int64_t o = 0; o < block.outs; ++o)
        for (std::int64_t i = 0; i < block.ins; ++i)
          dw[((block.first_out + o) * taps + tap) * ins + in + i] = static_cast<Out>(block.sums[o][i]);
    }
  });
}

}  // namespace

void gemm(bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, ConstArray a,
          ConstArray b, ConstArray bias, Array out) {
  with_float(a.dtype, [&](auto type) {
    using T = decltype(type);
    std::vector<Compute<T>> sums;
    if (bias) sums = rounded<Compute<T>>(bias);
    const Compute<T>* added = bias ? sums.data() : nullptr;
    if (out.dtype == a.dtype)
      typed_gemm(transpose_a, transpose_b, m, n, k, a.as<T>(), b.as<T>(), added, out.as<T>());
    else
      typed_gemm(transpose_a, transpose_b, m, n, k, a.as<T>(), b.as<T>(), added, out.as<Compute<T>>());
  });
}

void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y) {
  with_float(x.dtype, [&](auto type) {
    using T = decltype(type);
    forward<T>(shape, x.as<T>(), rounded<T>(w), y.as<T>());
  });
}

void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx) {
  with_float(g.dtype, [&](auto type) {
    using T = decltype(type);
    data_gradient<T>(shape, g.as<T>(), rounded<T>(w), dx.as<T>());
  });
}

void conv2d_weight(const ConvShape& shape, ConstArray x, ConstArray g, Array dw) {
  with_float(x.dtype, [&](auto type) {
    using T = decltype(type);
    if (dw.dtype == x.dtype)
      weight_gradient(shape, x.as<T>(), g.as<T>(), dw.as<T>());
    else
      weight_gradient(shape, x.as<T>(), g.as<T>(), dw.as<Compute<T>>());
  });
}

}  // namespace vergence::plain
