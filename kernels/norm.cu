// Batch norm's forward and backward on the GPU, per statistic group and channel; formulas as in kernels/norm.cpp:
//   forward   y = [relu](gamma r (x - mu) + beta [+ add])
//   backward  gx = gamma r (g - m(g) - d r^2 m(g d)), d = x - mu, ggamma = sum g d r, gbeta = sum g
// Bytes per element, of the activations' type: forward 2 reads of x, 1 of add, 1 write; backward 2 reads of g and x, 1
// or 2 writes; the ReLU's mask is 1 bit. Bound by memory: 4.3 TB/s on an H200.
// A pass over the rows leaves partial results per block, a small kernel merges them in double in a fixed order, a
// second pass over the rows applies them; it starts at the end, where the cache still holds what the first pass read.
// Moments are centred: few rows in registers around their own mean, then merged, never E[x^2] - mu^2. A convolution may
// leave those of its tiles, and its data gradient the sums of g and g d: then either pass reads its tensors once.
#include "kernels/cuda_backend.h"
#include "kernels/norm_bits.h"
#include "kernels/norm_kernels.h"
#include "kernels/norm_loops.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// One thread's moments of its channels, relative to `pivot`, which is near the mean: so that they lose nothing to it.
template <class Real, int width>
struct ThreadMoments {
  Real pivot[width] = {}, mean[width] = {}, squares[width] = {};
  int count = 0;

  template <class T, int at_once>
  __device__ void merge(const Pack<T, width> (&x)[at_once], int present) {
    const Real inverse = Real(1) / static_cast<Real>(present);
    const Real share = static_cast<Real>(present) / static_cast<Real>(count + present);
    const Real weight = static_cast<Real>(count) * share;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      Real sum = 0, square = 0;
#pragma unroll
      for (int i = 0; i < at_once; ++i)
        if (i < present) sum += static_cast<Real>(x[i].values[k]) - pivot[k];
      const Real centre = sum * inverse;
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        const Real d = (static_cast<Real>(x[i].values[k]) - pivot[k]) - centre;
        if (i < present) square += d * d;
      }
      const Real delta = centre - mean[k];
      mean[k] += delta * share;
      squares[k] += square + delta * delta * weight;
    }
    count += present;
  }
};

/// partial[unit][0] receives the means of a block's rows, [1] their centred sums of squares.
template <class T, int width>
__global__ void norm_statistics(ColumnPlan plan, std::int64_t rows, std::int64_t channels, const T* x,
                                double* partial) {
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(1);
  SHARED(double, means, [width][256]);
  SHARED(double, squares, [width][256]);
  SHARED(double, counts, [256]);
  const Place at = place_in(plan, rows, blockIdx.x, width);
  const int thread = threadIdx.x;
  ThreadMoments<Real, width> own;
  if (at.channel < channels) {
    const Pack<T, width> pivot = load_pack<width>(x + at.first * channels + at.channel);
    for (int k = 0; k < width; ++k) own.pivot[k] = static_cast<Real>(pivot.values[k]);
    for_rows<at_once>(at, [&](const std::int64_t(&row)[at_once], int present) {
      Pack<T, width> values[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) values[i] = load_pack<width>(x + row[i] * channels + at.channel);
      own.merge(values, present);
    });
  }
  for (int k = 0; k < width; ++k) means[k][thread] = own.mean[k], squares[k][thread] = own.squares[k];
  counts[thread] = own.count;
  for (int half = at.row_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (at.row_thread >= half) continue;
    const int other = thread + half * plan.column_threads;
    for (int k = 0; k < width; ++k) {
      Moments moments{counts[thread], means[k][thread], squares[k][thread]};
      moments.merge(counts[other], means[k][other], squares[k][other]);
      means[k][thread] = moments.mean, squares[k][thread] = moments.squares;
    }
    counts[thread] += counts[other];
  }
  if (at.row_thread > 0 || at.channel >= channels) return;
  double* const out = partial + at.unit * 2 * channels + at.channel;
  for (int k = 0; k < width; ++k) {
    out[k] = static_cast<double>(own.pivot[k]) + means[k][thread];
    out[channels + k] = squares[k][thread];
  }
}

/// Moments of parts of a group's rows, all of `rows_per_part` rows but perhaps the last one, which ends at row `rows`:
/// part p's of channel c at [p * stride + c].
template <class P>
struct Parts {
  const P *mean, *squares;
  std::int64_t stride, rows_per_part, rows;
};

/// Merges parts [first, last), 8 channels to a block; the result is in the first thread of a channel, which gets true.
/// All threads of the block must call it.
template <class P>
__device__ bool merge_parts(const Parts<P>& parts, std::int64_t first, std::int64_t last, std::int64_t channel,
                            std::int64_t channels, Moments& result) {
  SHARED(double, joined, [3][merge_phases][merge_channels]);
  const int phase = threadIdx.x / merge_channels, lane = threadIdx.x % merge_channels;
  if (channel < channels) {
#pragma unroll 4
    for (std::int64_t part = first + phase; part < last; part += merge_phases) {
      const std::int64_t left = parts.rows - part * parts.rows_per_part;
      result.merge(static_cast<double>(left < parts.rows_per_part ? left : parts.rows_per_part),
                   static_cast<double>(parts.mean[part * parts.stride + channel]),
                   static_cast<double>(parts.squares[part * parts.stride + channel]));
    }
  }
  joined[0][phase][lane] = result.count, joined[1][phase][lane] = result.mean, joined[2][phase][lane] = result.squares;
  __syncthreads();
  if (phase > 0 || channel >= channels) return false;
  for (int other = 1; other < merge_phases; ++other)
    result.merge(joined[0][other][lane], joined[1][other][lane], joined[2][other][lane]);
  return true;
}

/// One block per (group, 8 channels): mean and rstd from `count` parts per group.
template <class Real>
__global__ void merge_statistics(Parts<double> parts, std::int64_t count, std::int64_t channels, double epsilon,
                                 Real* mean, Real* rstd) {
  const std::int64_t blocks = ceil_div(channels, merge_channels), group = blockIdx.x / blocks;
  const std::int64_t channel = (blockIdx.x - group * blocks) * merge_channels + threadIdx.x % merge_channels;
  parts.mean += group * count * parts.stride, parts.squares += group * count * parts.stride;
  Moments moments;
  if (!merge_parts(parts, 0, count, channel, channels, moments)) return;
  mean[group * channels + channel] = static_cast<Real>(moments.mean);
  rstd[group * channels + channel] = static_cast<Real>(1 / sqrt(moments.squares / moments.count + epsilon));
}

// A convolution leaves many small parts: `tiles` per group are first merged into `count`, each of tiles_per_part.
constexpr int tiles_per_part = 256;

template <class P>
__global__ void merge_tiles(Parts<P> parts, std::int64_t tiles, std::int64_t count, std::int64_t channels,
                            double* partial) {
  const std::int64_t blocks = ceil_div(channels, merge_channels), unit = blockIdx.x / blocks;
  const std::int64_t channel = (blockIdx.x - unit * blocks) * merge_channels + threadIdx.x % merge_channels;
  const std::int64_t group = unit / count, first = (unit - group * count) * tiles_per_part;
  parts.mean += group * tiles * parts.stride, parts.squares += group * tiles * parts.stride;
  Moments moments;
  if (!merge_parts(parts, first, first + tiles_per_part < tiles ? first + tiles_per_part : tiles, channel, channels,
                   moments))
    return;
  partial[unit * 2 * channels + channel] = moments.mean;
  partial[(unit * 2 + 1) * channels + channel] = moments.squares;
}

/// Unit u of the result: the sums over up to tiles_per_part units of partial, those of a group's `tiles` being
/// consecutive, and its `count` parts in the result. One block per unit of the result and 8 channels.
template <class P>
__global__ void sum_parts(std::int64_t tiles, std::int64_t count, std::int64_t channels, const P* partial,
                          double* result) {
  const std::int64_t blocks = ceil_div(channels, merge_channels), unit = blockIdx.x / blocks;
  const std::int64_t channel = (blockIdx.x - unit * blocks) * merge_channels + threadIdx.x % merge_channels;
  const std::int64_t group = unit / count, part = unit - group * count;
  const std::int64_t first = part * tiles_per_part,
                     last = first + tiles_per_part < tiles ? first + tiles_per_part : tiles;
  double sums[2];
  if (!merge_sums(group * tiles + first, group * tiles + last, channels, channel, partial, sums)) return;
  for (int s = 0; s < 2; ++s) result[(unit * 2 + s) * channels + channel] = sums[s];
}

/// Everything about one forward that its second pass reads.
template <class T>
struct Forward {
  const T *x, *add;
  const Compute<T>*gamma, *beta, *mean, *rstd;
  T* y;
  std::uint8_t* positive;
};

template <class T, int width, bool relu, bool has_add>
__global__ void norm_forward(ColumnPlan plan, std::int64_t rows, std::int64_t channels, Forward<T> in) {
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(has_add ? 2 : 1);
  const Place at = place_in(plan, rows, gridDim.x - 1 - blockIdx.x, width);
  if (at.channel >= channels) return;
  Real mean[width], scale[width], shift[width];
  load_channels(in.mean, at.group * channels + at.channel, mean);
  load_channels(in.rstd, at.group * channels + at.channel, scale);
  for (int k = 0; k < width; ++k) {
    if (in.gamma) scale[k] *= in.gamma[at.channel + k];
    shift[k] = in.beta ? in.beta[at.channel + k] : Real(0);
  }
  for_rows<at_once>(at, [&](const std::int64_t(&row)[at_once], int present) {
    Pack<T, width> x[at_once], add[has_add ? at_once : 1];
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      x[i] = load_pack<width>(in.x + row[i] * channels + at.channel);
      if constexpr (has_add) add[i] = load_pack<width>(in.add + row[i] * channels + at.channel);
    }
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      unsigned bits = 0;
#pragma unroll
      for (int k = 0; k < width; ++k) {
        Real value = (static_cast<Real>(x[i].values[k]) - mean[k]) * scale[k] + shift[k];
        if constexpr (has_add) value += static_cast<Real>(add[i].values[k]);
        if constexpr (relu) value = value < Real(0) ? Real(0) : value;
        x[i].values[k] = static_cast<T>(value);
        if constexpr (relu) bits |= bit(static_cast<Real>(x[i].values[k]) > Real(0), k);
      }
      if (i >= present) continue;
      const std::int64_t place = row[i] * channels + at.channel;
      store_pack(in.y + place, x[i]);
      if constexpr (relu && width == 8)
        if (in.positive) in.positive[place / 8] = static_cast<std::uint8_t>(bits);
    }
  });
}

/// Rows of the backward's coefficients, each (groups, channels): gx = scale (g - centre - d slope).
enum BackwardRow { scale_row, centre_row, slope_row, backward_rows };

template <class T>
struct Backward {
  const T *g, *x;
  const std::uint8_t* positive;
  const Compute<T>* mean;
  T* g_add;  // of the sums
  const Compute<T>* coefficients;
  T* gx;  // of the second pass
};

/// Sums of g and g d over each block's rows to partial[unit]; the masked g to g_add if given.
template <class T, int width, bool relu>
__global__ void norm_backward_sums(ColumnPlan plan, std::int64_t rows, std::int64_t channels, Backward<T> in,
                                   double* partial) {
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(2);
  const Place at = place_in(plan, rows, blockIdx.x, width);
  Real sums[2][width] = {};
  if (at.channel < channels) {
    Real mean[width];
    load_channels(in.mean, at.group * channels + at.channel, mean);
    for_rows<at_once>(at, [&](const std::int64_t(&row)[at_once], int present) {
      Pack<T, width> g[at_once], x[at_once];
      ReluBits<relu> positive[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        const std::int64_t place = row[i] * channels + at.channel;
        g[i] = load_pack<width>(in.g + place), x[i] = load_pack<width>(in.x + place);
        positive[i].load(in.positive, place);
      }
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        if (i >= present) continue;
#pragma unroll
        for (int k = 0; k < width; ++k) {
          g[i].values[k] = positive[i].masked(g[i].values[k], k);
          const Real gk = static_cast<Real>(g[i].values[k]);
          sums[0][k] += gk;
          sums[1][k] += gk * (static_cast<Real>(x[i].values[k]) - mean[k]);
        }
        if (in.g_add) store_pack(in.g_add + row[i] * channels + at.channel, g[i]);
      }
    });
  }
  store_block_sums(plan, at, channels, sums, partial);
}

/// One block per 8 channels, group after group: the coefficients, and the gradients of gamma and beta.
template <class Real>
__global__ void merge_backward(std::int64_t row_blocks, NormShape shape, const double* partial, const Real* gamma,
                               const Real* rstd, Real* coefficients, Real* ggamma, Real* gbeta) {
  const std::int64_t channels = shape.channels, size = shape.groups * channels;
  const std::int64_t channel = std::int64_t{blockIdx.x} * merge_channels + threadIdx.x % merge_channels;
  double gamma_sum = 0, beta_sum = 0;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    double sums[2];
    if (!merge_sums(group * row_blocks, (group + 1) * row_blocks, channels, channel, partial, sums)) continue;
    const std::int64_t k = group * channels + channel;
    const double r = rstd[k], m = static_cast<double>(shape.rows);
    gamma_sum += sums[1] * r;
    beta_sum += sums[0];
    coefficients[scale_row * size + k] = static_cast<Real>(r * (gamma ? static_cast<double>(gamma[channel]) : 1.0));
    coefficients[centre_row * size + k] = static_cast<Real>(shape.training ? sums[0] / m : 0.0);
    coefficients[slope_row * size + k] = static_cast<Real>(shape.training ? sums[1] / m * r * r : 0.0);
  }
  if (static_cast<int>(threadIdx.x) >= merge_channels || channel >= channels) return;
  if (ggamma) ggamma[channel] = static_cast<Real>(gamma_sum);
  if (gbeta) gbeta[channel] = static_cast<Real>(beta_sum);
}

template <class T, int width, bool relu>
__global__ void norm_backward(ColumnPlan plan, std::int64_t rows, std::int64_t channels, std::int64_t size,
                              Backward<T> in) {
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(2);
  const Place at = place_in(plan, rows, gridDim.x - 1 - blockIdx.x, width);
  if (at.channel >= channels) return;
  const std::int64_t first = at.group * channels + at.channel;
  Real mean[width], scale[width], centre[width], slope[width];
  load_channels(in.mean, first, mean);
  load_channels(in.coefficients + scale_row * size, first, scale);
  load_channels(in.coefficients + centre_row * size, first, centre);
  load_channels(in.coefficients + slope_row * size, first, slope);
  for_rows<at_once>(at, [&](const std::int64_t(&row)[at_once], int present) {
    Pack<T, width> g[at_once], x[at_once];
    ReluBits<relu> positive[at_once];
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      const std::int64_t place = row[i] * channels + at.channel;
      g[i] = load_pack<width>(in.g + place), x[i] = load_pack<width>(in.x + place);
      positive[i].load(in.positive, place);
    }
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
#pragma unroll
      for (int k = 0; k < width; ++k) {
        const Real gk = static_cast<Real>(positive[i].masked(g[i].values[k], k));
        const Real d = static_cast<Real>(x[i].values[k]) - mean[k];
        x[i].values[k] = static_cast<T>(scale[k] * (gk - centre[k] - d * slope[k]));
      }
      if (i < present) store_pack(in.gx + row[i] * channels + at.channel, x[i]);
    }
  });
}

/// `partial` holds the moments of `parts` parts per group, means then squares.
template <class Real>
void finish_statistics(Device& device, const NormShape& shape, const double* partial, std::int64_t parts,
                       std::int64_t rows_per_part, Real* mean, Real* rstd) {
  const std::int64_t channels = shape.channels;
  launch("merge_statistics", merge_statistics<Real>,
         static_cast<unsigned>(shape.groups * ceil_div(channels, merge_channels)), 256, device.stream(),
         Parts<double>{partial, partial + channels, 2 * channels, rows_per_part, shape.rows}, parts, channels,
         shape.epsilon, mean, rstd);
}

template <class T, int width>
void statistics(Device& device, const NormShape& shape, const T* x, Compute<T>* mean, Compute<T>* rstd) {
  const ColumnPlan plan = column_plan(shape.groups, shape.rows, shape.channels, width);
  const Scratch<double> partial(device, shape.groups * plan.row_blocks * 2 * shape.channels);
  launch("norm_statistics", norm_statistics<T, width>, blocks_of(plan, shape.groups), 256, device.stream(), plan,
         shape.rows, shape.channels, x, partial.data());
  finish_statistics(device, shape, partial.data(), plan.row_blocks, plan.rows_per_block, mean, rstd);
}

void statistics_of_tiles(Device& device, const NormShape& shape, const ConvStatistics& given, float* mean,
                         float* rstd) {
  const std::int64_t tiles = ceil_div(shape.rows, conv_statistics_rows), count = ceil_div(tiles, tiles_per_part);
  const Scratch<double> partial(device, shape.groups * count * 2 * shape.channels);
  launch("merge_tiles", merge_tiles<float>,
         static_cast<unsigned>(shape.groups * count * ceil_div(shape.channels, merge_channels)), 256, device.stream(),
         Parts<float>{given.mean, given.squares, shape.channels, conv_statistics_rows, shape.rows}, tiles, count,
         shape.channels, partial.data());
  finish_statistics(device, shape, partial.data(), count, std::int64_t{tiles_per_part} * conv_statistics_rows, mean,
                    rstd);
}

template <class P>
void sum_tiles_of(Device& device, const NormShape& shape, std::int64_t tiles, const P* partial, double* sums) {
  const std::int64_t count = ceil_div(tiles, tiles_per_part);
  const Scratch<double> between(device, count > 1 ? shape.groups * count * 2 * shape.channels : 0);
  launch("sum_parts", sum_parts<P>,
         static_cast<unsigned>(shape.groups * count * ceil_div(shape.channels, merge_channels)), 256, device.stream(),
         tiles, count, shape.channels, partial, count > 1 ? between.data() : sums);
  if (count > 1) sum_tiles_of(device, shape, count, between.data(), sums);
}

template <class T, int width>
void forward(Device& device, const NormShape& shape, const Forward<T>& in) {
  const std::int64_t rows = shape.rows, channels = shape.channels;
  const ColumnPlan plan = apply_plan(shape.groups, rows, channels, width);
  with_flag(shape.relu, [&](auto relu) {
    with_flag(in.add != nullptr, [&](auto has_add) {
      launch("norm_forward", norm_forward<T, width, decltype(relu)::value, decltype(has_add)::value>,
             blocks_of(plan, shape.groups), 256, device.stream(), plan, rows, channels, in);
    });
  });
  if (width < 8 && shape.relu && in.positive)
    store_relu_bits(device, shape.groups * rows * channels, in.y, in.positive);
}

/// The second pass reads the masked cotangent back where the first one has written it.
template <class T, int width>
void backward_apply(Device& device, const NormShape& shape, Backward<T> in) {
  const bool relu = shape.relu && !in.g_add;
  if (in.g_add) in.g = in.g_add;
  const ColumnPlan plan = apply_plan(shape.groups, shape.rows, shape.channels, width);
  with_flag(relu, [&](auto flag) {
    launch("norm_backward", norm_backward<T, width, decltype(flag)::value>, blocks_of(plan, shape.groups), 256,
           device.stream(), plan, shape.rows, shape.channels, shape.groups * shape.channels, in);
  });
}

/// given: the sums, if they are there; then g is masked.
template <class T, int width>
void backward(Device& device, NormShape shape, Backward<T> in, const Compute<T>* gamma, const Compute<T>* rstd,
              Compute<T>* ggamma, Compute<T>* gbeta, const double* given) {
  using Real = Compute<T>;
  const ColumnPlan plan = column_plan(shape.groups, shape.rows, shape.channels, width);
  const Scratch<double> partial(device, given ? 0 : shape.groups * plan.row_blocks * 2 * shape.channels);
  const Scratch<Real> coefficients(device, backward_rows * shape.groups * shape.channels);
  if (given) {
    shape.relu = false;
  } else {
    with_flag(shape.relu, [&](auto relu) {
      launch("norm_backward_sums", norm_backward_sums<T, width, decltype(relu)::value>, blocks_of(plan, shape.groups),
             256, device.stream(), plan, shape.rows, shape.channels, in, partial.data());
    });
  }
  launch("merge_backward", merge_backward<Real>, blocks_for(shape.channels, merge_channels), 256, device.stream(),
         given ? 1 : plan.row_blocks, shape, given ? given : partial.data(), gamma, rstd, coefficients.data(), ggamma,
         gbeta);
  in.coefficients = coefficients.data();
  if (in.gx) backward_apply<T, width>(device, shape, in);
}

}  // namespace

void CudaBackend::batch_norm(const NormShape& shape, ConstArray x, ConstArray gamma, ConstArray beta, ConstArray add,
                             Array mean, Array rstd, Array y, Array positive) {
  if (x.size == 0) return;
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const Forward<T> in{x.as<T>(),       add.as<T>(),     gamma.as<Real>(), beta.as<Real>(),
                        mean.as<Real>(), rstd.as<Real>(), y.as<T>(),        positive.as<std::uint8_t>()};
    with_norm_width<T>(shape, {in.x, in.add, in.y}, [&](auto width) {
      constexpr int w = decltype(width)::value;
      if (shape.training) statistics<T, w>(device_, shape, in.x, mean.as<Real>(), rstd.as<Real>());
      forward<T, w>(device_, shape, in);
    });
  });
}

void sum_tiles(Device& device, const NormShape& shape, std::int64_t tiles, const float* partial, double* sums) {
  sum_tiles_of(device, shape, tiles, partial, sums);
}

bool batch_norm_of_tiles(Device& device, const NormShape& shape, const ConvStatistics& given, ConstArray x,
                         ConstArray gamma, ConstArray beta, ConstArray add, Array mean, Array rstd, Array y,
                         Array positive) {
  if (!norm_takes_tiles(shape, x.dtype)) return false;
  if (x.size == 0) return true;
  statistics_of_tiles(device, shape, given, mean.as<float>(), rstd.as<float>());
  const Forward<bf16> in{x.as<bf16>(),     add.as<bf16>(),   gamma.as<float>(), beta.as<float>(),
                         mean.as<float>(), rstd.as<float>(), y.as<bf16>(),      positive.as<std::uint8_t>()};
  with_norm_width<bf16>(shape, {in.x, in.add, in.y},
                        [&](auto width) { forward<bf16, decltype(width)::value>(device, shape, in); });
  return true;
}

void CudaBackend::batch_norm_backward(const NormShape& shape, ConstArray g, ConstArray x, ConstArray y,
                                      ConstArray gamma, ConstArray mean, ConstArray rstd, Array gx, Array g_add,
                                      Array ggamma, Array gbeta, ConstArray sums) {
  if (x.size == 0) return;
  const PositiveBits positive(device_, shape, y);
  with_float(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const Backward<T> in{g.as<T>(), x.as<T>(), positive.data(), mean.as<Real>(), g_add.as<T>(), nullptr, gx.as<T>()};
    with_norm_width<T>(shape, {in.g, in.x, in.g_add, in.gx}, [&](auto width) {
      backward<T, decltype(width)::value>(device_, shape, in, gamma.as<Real>(), rstd.as<Real>(), ggamma.as<Real>(),
                                          gbeta.as<Real>(), sums.as<double>());
    });
  });
}

}  // namespace vergence::VERGENCE_GPU
