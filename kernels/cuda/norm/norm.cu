// Batch norm's forward and backward on the GPU, per statistic group and channel; formulas as in kernels/cpu/norm.cpp:
//   forward   y = [relu](gamma r (x - mu) + beta [+ add])
//   backward  gx = gamma r (g - m(g) - d r^2 m(g d)), d = x - mu, ggamma = sum g d r, gbeta = sum g
// Bytes per element, of the activations' type: forward 2 reads of x, 1 of add, 1 write; backward 2 reads of g and x, 1
// or 2 writes; the ReLU's mask is 1 bit. Bound by memory (H200 data sheet: 4.8 TB/s). A first pass over the rows writes
// partial results per block, a small kernel merges them in double in a fixed order, a second pass over the rows applies
// them. The first pass runs from the end of the tensor, which the cache still holds from the previous kernel, to the
// start, and the second pass back; without a first pass, the second starts at the end.
// Moments are never E[x^2] - mu^2: each thread sums deviations from its first row; they are then merged in double,
// relative to the group's first row. If a convolution provides the moments of its tiles, or its data gradient the sums
// of g and g d, tensors are read only once. Ranks exchange moments or sums between the passes (norm/ranks.h).
#include <cmath>

#include "kernels/cuda/backend.h"
#include "kernels/cuda/fused.h"
#include "kernels/cuda/norm/bits.h"
#include "kernels/cuda/norm/loops.h"
#include "kernels/cuda/norm/moments.h"
#include "kernels/cuda/norm/ranks.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// partial[unit][0] receives the sums over a block's rows of d = x - the group's first row, [1] those of d^2.
template <class T, int width>
__global__ void __launch_bounds__(256, 2)
    norm_statistics(ColumnPlan plan, std::int64_t rows, std::int64_t channels, const T* x, double* partial) {
  wait_for_kernel_before();
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(1);
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
  double sums[2][width] = {};
  if (at.channel < channels) {
    const Pack<T, width> first = load_pack<width>(x + at.group * rows * channels + at.channel);
    ThreadMoments<Real, width> own;
    for_places<at_once>(plan, at, rows, channels, [&](const std::int64_t(&place)[at_once], int present) {
      Pack<T, width> values[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) values[i] = load_pack<width>(x + place[i]);
      own.add(values, present);
    });
    Real pivot[width];
    widen(first, pivot);
    own.about(pivot, sums);
  }
  store_block_sums(plan, at, channels, sums, partial);
}

/// The moments from a convolution's tiles, [tile][channel]; each has `rows` rows, except perhaps a group's last one.
struct TileMoments {
  const float *mean, *squares;
  std::int64_t rows, per_group;
};

/// partial[unit][0] receives the sums over the rows of a block's tiles of d = x - the mean of the group's first tile,
/// [1] those of d^2.
__global__ void merge_tiles(ColumnPlan plan, NormShape shape, TileMoments tiles, double* partial) {
  wait_for_kernel_before();
  constexpr int at_once = 8;
  const ThreadShare at = share_in(plan, tiles.per_group, block_of(plan), 1);
  double sums[2][1] = {};
  if (at.channel < shape.channels) {
    const std::int64_t first = at.group * tiles.per_group * shape.channels + at.channel;
    const std::int64_t last = first + (tiles.per_group - 1) * shape.channels;
    const auto full = static_cast<double>(tiles.rows);
    const double rest = static_cast<double>(shape.rows) - full * static_cast<double>(tiles.per_group - 1);
    const double pivot = tiles.mean[first];
    for_places<at_once>(plan, at, tiles.per_group, shape.channels,
                        [&](const std::int64_t(&place)[at_once], int present) {
                          float mean[at_once], squares[at_once];
#pragma unroll
                          for (int i = 0; i < at_once; ++i)
                            mean[i] = tiles.mean[place[i]], squares[i] = tiles.squares[place[i]];
#pragma unroll
                          for (int i = 0; i < at_once; ++i) {
                            if (i >= present) continue;
                            const double d = mean[i] - pivot, weight = place[i] == last ? rest : full;
                            sums[0][0] += weight * d;
                            sums[1][0] += weight * d * d + static_cast<double>(squares[i]);
                          }
                        });
  }
  store_block_sums(plan, at, shape.channels, sums, partial);
}

/// One block per merge_channels: mean and rstd of every group. Cancellation in the variance, computed in double, is at
/// most a factor of the number of rows.
template <int at_once, class T>
__global__ void __launch_bounds__(merge_threads, 1)
    merge_statistics(PivotSums<T> parts, NormShape shape, Compute<T>* mean, Compute<T>* rstd,
                     RunningArrays<Compute<T>> running) {
  wait_for_kernel_before();
  using Real = Compute<T>;
  const MergePlace at = merge_place();
  const bool there = at.channel < shape.channels, follows = running.mean && there && at.phase == 0;
  const auto rows = static_cast<double>(shape.rows);
  Real running_mean = follows ? running.mean[at.channel] : Real(0);
  Real running_variance = follows ? running.variance[at.channel] : Real(0);
  for (std::int64_t group = 0; group < shape.groups; group += at_once) {
    const bool last = there && at.phase < at_once;
    const T pivot = last ? parts.pivots[(group + at.phase) * parts.stride + at.channel] : T(0.0f);
    double sums[2];
    merge_sums<at_once>(at, group, parts.per_group, shape.channels, parts.sums, sums);
    Real m = 0, r = 0;
    if (last) {
      const double shift = sums[0] / rows, difference = sums[1] / rows - shift * shift;
      m = static_cast<Real>(static_cast<double>(static_cast<Real>(pivot)) + shift);
      r = static_cast<Real>(1 / sqrt((difference < 0 ? 0 : difference) + shape.epsilon));
      const std::int64_t k = (group + at.phase) * shape.channels + at.channel;
      mean[k] = m, rstd[k] = r;
    }
    if (!running.mean) continue;
#pragma unroll
    for (int i = 0; i < at_once; ++i) running.rule.step(of_phase(m, i), of_phase(r, i), running_mean, running_variance);
  }
  if (follows) running.mean[at.channel] = running_mean, running.variance[at.channel] = running_variance;
}

/// The largest value that rounding to T makes 0: half of bf16's least positive number is a tie, which goes to even.
template <class T>
constexpr Compute<T> max_that_rounds_to_0 = std::is_same_v<T, bf16> ? 0x1p-134f : 0.0f;

/// Everything that the second pass of a forward reads.
template <class T>
struct Forward {
  const T *x, *add;
  const Compute<T>*gamma, *beta, *mean, *rstd;
  T* y;
  std::uint8_t* positive;
};

template <class T, int width, bool relu, bool has_add>
__global__ void norm_forward(ColumnPlan plan, std::int64_t rows, std::int64_t channels, Forward<T> in) {
  wait_for_kernel_before();
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(has_add ? 2 : 1);
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
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
      Real y[width];
#pragma unroll
      for (int k = 0; k < width; ++k) {
        y[k] = (static_cast<Real>(x[i].values[k]) - mean[k]) * scale[k] + shift[k];
        if constexpr (has_add) y[k] += static_cast<Real>(add[i].values[k]);
        if constexpr (relu) y[k] = y[k] < Real(0) ? Real(0) : y[k];
        if constexpr (relu) bits |= bit(y[k] > max_that_rounds_to_0<T>, k);
      }
      if (i >= present) continue;
      const std::int64_t place = row[i] * channels + at.channel;
      store_pack(in.y + place, pack_of<T>(y));
      if constexpr (relu && width == 8)
        if (in.positive) in.positive[place / 8] = static_cast<std::uint8_t>(bits);
    }
  });
}

/// Rows of the backward's coefficients, each (groups, channels): gx = scale (g - center - d slope).
enum BackwardRow { scale_row, center_row, slope_row, backward_rows };

template <class T>
struct Backward {
  const T *g, *x;
  const std::uint8_t* positive;
  const Compute<T>* mean;
  T* g_add;  // written by the first pass; null: not wanted
  const Compute<T>* coefficients;
  T* gx;  // written by the second pass; null: not wanted
};

/// Writes sums of g and g d over each block's rows to partial[unit]; writes the masked g to g_add if given.
template <class T, int width, bool relu>
__global__ void norm_backward_sums(ColumnPlan plan, std::int64_t rows, std::int64_t channels, Backward<T> in,
                                   double* partial) {
  wait_for_kernel_before();
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(2);
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
  Real sums[2][width] = {};
  if (at.channel < channels) {
    Real mean[width];
    load_channels(in.mean, at.group * channels + at.channel, mean);
    for_places<at_once>(plan, at, rows, channels, [&](const std::int64_t(&place)[at_once], int present) {
      Pack<T, width> g[at_once], x[at_once];
      ReluBits<relu> positive[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        g[i] = load_pack<width>(in.g + place[i]), x[i] = load_pack<width>(in.x + place[i]);
        positive[i].load(in.positive, place[i]);
      }
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        if (i >= present) continue;
        positive[i].mask(g[i]);
        if (in.g_add) store_pack(in.g_add + place[i], g[i]);
        Real of_g[width], of_x[width];
        widen(g[i], of_g), widen(x[i], of_x);
#pragma unroll
        for (int k = 0; k < width; ++k) {
          sums[0][k] += of_g[k];
          sums[1][k] += of_g[k] * (of_x[k] - mean[k]);
        }
      }
    });
  }
  store_block_sums(plan, at, channels, sums, partial);
}

/// The coefficients from the sums of g and g d over m rows; k: the group's channel, of `size` in all groups.
template <class Real>
__device__ void store_coefficients(bool training, const double (&sums)[2], double m, double r, double gain,
                                   std::int64_t size, std::int64_t k, Real* coefficients) {
  coefficients[scale_row * size + k] = static_cast<Real>(r * gain);
  coefficients[center_row * size + k] = static_cast<Real>(training ? sums[0] / m : 0.0);
  coefficients[slope_row * size + k] = static_cast<Real>(training ? sums[1] / m * r * r : 0.0);
}

/// gamma (channels), rstd (groups, channels), and the gradients to write; null pointers are absent.
template <class Real>
struct ChannelGradients {
  const Real *gamma, *rstd;
  Real *ggamma, *gbeta;
};

/// One block per merge_channels: the coefficients of every group, and the gradients of gamma and beta.
template <int at_once, class P, class Real>
__global__ void __launch_bounds__(merge_threads, 1)
    merge_backward(std::int64_t parts, NormShape shape, const P* partial, ChannelGradients<Real> channels,
                   Real* coefficients) {
  wait_for_kernel_before();
  const MergePlace at = merge_place();
  const std::int64_t size = shape.groups * shape.channels;
  const bool last = at.phase < at_once && at.channel < shape.channels;
  const double gain = last && channels.gamma ? channels.gamma[at.channel] : Real(1),
               m = static_cast<double>(shape.rows);
  double gamma_sum = 0, beta_sum = 0;
  for (std::int64_t group = 0; group < shape.groups; group += at_once) {
    const std::int64_t k = (group + at.phase) * shape.channels + at.channel;
    const double r = last ? channels.rstd[k] : Real(0);
    double sums[2] = {};
    merge_sums<at_once>(at, group, parts, shape.channels, partial, sums);
    if (last) store_coefficients(shape.training, sums, m, r, gain, size, k, coefficients);
#pragma unroll
    for (int i = 0; i < at_once; ++i) beta_sum += of_phase(sums[0], i), gamma_sum += of_phase(sums[1] * r, i);
  }
  if (at.phase > 0 || !last) return;
  if (channels.ggamma) channels.ggamma[at.channel] = static_cast<Real>(gamma_sum);
  if (channels.gbeta) channels.gbeta[at.channel] = static_cast<Real>(beta_sum);
}

/// The same with ranks, one thread per channel: the coefficients from the sums over all ranks, the gradients of gamma
/// and beta from this rank's; both [group][2][channels].
template <class Real>
__global__ void merge_backward_of_ranks(NormShape shape, const double* all, const double* own,
                                        ChannelGradients<Real> channels, Real* coefficients) {
  const std::int64_t c = grid_thread();
  if (c >= shape.channels) return;
  const double gain = channels.gamma ? channels.gamma[c] : Real(1), m = static_cast<double>(shape.all_rows());
  double gamma_sum = 0, beta_sum = 0;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    const std::int64_t k = group * shape.channels + c, g = 2 * group * shape.channels + c, gd = g + shape.channels;
    const double r = channels.rstd[k], sums[2] = {all[g], all[gd]};
    store_coefficients(shape.training, sums, m, r, gain, shape.groups * shape.channels, k, coefficients);
    beta_sum += own[g], gamma_sum += own[gd] * r;
  }
  if (channels.ggamma) channels.ggamma[c] = static_cast<Real>(gamma_sum);
  if (channels.gbeta) channels.gbeta[c] = static_cast<Real>(beta_sum);
}

template <class T, int width, bool relu>
__global__ void norm_backward(ColumnPlan plan, std::int64_t rows, std::int64_t channels, std::int64_t size,
                              Backward<T> in) {
  wait_for_kernel_before();
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(2);
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
  if (at.channel >= channels) return;
  const std::int64_t first = at.group * channels + at.channel;
  Real mean[width], scale[width], center[width], slope[width];
  load_channels(in.mean, first, mean);
  load_channels(in.coefficients + scale_row * size, first, scale);
  load_channels(in.coefficients + center_row * size, first, center);
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
      Real gx[width];
#pragma unroll
      for (int k = 0; k < width; ++k) {
        const Real gk = static_cast<Real>(positive[i].masked(g[i].values[k], k));
        const Real d = static_cast<Real>(x[i].values[k]) - mean[k];
        gx[k] = scale[k] * (gk - center[k] - d * slope[k]);
      }
      if (i < present) store_pack(in.gx + row[i] * channels + at.channel, pack_of<T>(gx));
    }
  });
}

template <class T>
void merge(CudaBackend& gpu, const NormShape& shape, const PivotSums<T>& parts, Compute<T>* mean, Compute<T>* rstd,
           const RunningUpdate& running) {
  using Real = Compute<T>;
  const RunningArrays<Real> arrays{running.mean.as<Real>(), running.variance.as<Real>(), {shape, running.share}};
  if (over_ranks(shape)) return statistics_over_ranks(gpu, shape, parts, mean, rstd, arrays);
  with_groups_at_once(shape.groups, [&](auto at_once) {
    launch_early("merge_statistics", merge_statistics<decltype(at_once)::value, T>,
                 blocks_for(shape.channels, merge_channels), merge_threads, gpu.device().stream(), parts, shape, mean,
                 rstd, arrays);
  });
}

template <class T, int width>
void statistics(CudaBackend& gpu, const NormShape& shape, const T* x, Compute<T>* mean, Compute<T>* rstd,
                const RunningUpdate& running) {
  Device& device = gpu.device();
  const ColumnPlan plan = sums_plan(shape.groups, shape.rows, shape.channels, width);
  const Scratch<double> partial(device, shape.groups * plan.row_blocks * 2 * shape.channels);
  launch_early("norm_statistics", norm_statistics<T, width>, blocks_of(plan, shape.groups), 256, device.stream(), plan,
               shape.rows, shape.channels, x, partial.data());
  merge(gpu, shape, PivotSums<T>{partial.data(), plan.row_blocks, x, shape.rows * shape.channels}, mean, rstd, running);
}

void statistics_of_tiles(CudaBackend& gpu, const NormShape& shape, const TileMoments& tiles, float* mean, float* rstd,
                         const RunningUpdate& running) {
  Device& device = gpu.device();
  const ColumnPlan plan = sums_plan(shape.groups, tiles.per_group, shape.channels, 1);
  const Scratch<double> partial(device, shape.groups * plan.row_blocks * 2 * shape.channels);
  launch_early("merge_tiles", merge_tiles, blocks_of(plan, shape.groups), 256, device.stream(), plan, shape, tiles,
               partial.data());
  merge(gpu, shape, PivotSums<float>{partial.data(), plan.row_blocks, tiles.mean, tiles.per_group * shape.channels},
        mean, rstd, running);
}

/// from_end: the cache holds the end of x.
template <class T, int width>
void forward(Device& device, const NormShape& shape, const Forward<T>& in, bool from_end) {
  const std::int64_t rows = shape.rows, channels = shape.channels;
  ColumnPlan plan = apply_plan(shape.groups, rows, channels, width);
  plan.from_end = from_end;
  with_flag(shape.relu, [&](auto relu) {
    with_flag(in.add != nullptr, [&](auto has_add) {
      launch_early("norm_forward", norm_forward<T, width, decltype(relu)::value, decltype(has_add)::value>,
                   blocks_of(plan, shape.groups), 256, device.stream(), plan, rows, channels, in);
    });
  });
  if (width < 8 && shape.relu && in.positive)
    store_relu_bits(device, shape.groups * rows * channels, in.y, in.positive);
}

/// The second pass reads the masked cotangent that the first one wrote, if any.
template <class T, int width>
void backward_apply(Device& device, const NormShape& shape, Backward<T> in, bool from_end) {
  const bool relu = shape.relu && !in.g_add;
  if (in.g_add) in.g = in.g_add;
  ColumnPlan plan = apply_plan(shape.groups, shape.rows, shape.channels, width);
  plan.from_end = from_end;
  with_flag(relu, [&](auto flag) {
    launch_early("norm_backward", norm_backward<T, width, decltype(flag)::value>, blocks_of(plan, shape.groups), 256,
                 device.stream(), plan, shape.rows, shape.channels, shape.groups * shape.channels, in);
  });
}

/// Parts of the sums of g and g d: values[group * per_group + part][2][channels].
template <class P>
struct PartSums {
  const P* values;
  std::int64_t per_group;
};

template <class P, class Real>
void merge_with_ranks(CudaBackend& gpu, const NormShape& shape, const PartSums<P>& parts,
                      const ChannelGradients<Real>& channels, Real* coefficients) {
  const RankSums<2> sums(gpu, shape, parts.per_group, parts.values);
  launch("merge_backward_of_ranks", merge_backward_of_ranks<Real>, blocks_for(shape.channels, 64), 64,
         gpu.device().stream(), shape, sums.all(), sums.own(), channels, coefficients);
}

/// given: the sums of g and g d, if a convolution's data gradient computed them; then g is already masked.
template <class T, int width>
void backward(CudaBackend& gpu, NormShape shape, Backward<T> in, const ChannelGradients<Compute<T>>& channels,
              const PartSums<float>& given) {
  using Real = Compute<T>;
  Device& device = gpu.device();
  const Scratch<Real> coefficients(device, backward_rows * shape.groups * shape.channels);
  const auto merge = [&]<class P>(const PartSums<P>& sums) {
    if (in.gx && over_ranks(shape)) return merge_with_ranks(gpu, shape, sums, channels, coefficients.data());
    with_groups_at_once(shape.groups, [&](auto at_once) {
      launch_early("merge_backward", merge_backward<decltype(at_once)::value, P, Real>,
                   blocks_for(shape.channels, merge_channels), merge_threads, device.stream(), sums.per_group, shape,
                   sums.values, channels, coefficients.data());
    });
  };
  if (given.values) {
    shape.relu = false;
    merge(given);
  } else {
    const ColumnPlan plan = sums_plan(shape.groups, shape.rows, shape.channels, width);
    const Scratch<double> partial(device, shape.groups * plan.row_blocks * 2 * shape.channels);
    with_flag(shape.relu, [&](auto relu) {
      launch_early("norm_backward_sums", norm_backward_sums<T, width, decltype(relu)::value>,
                   blocks_of(plan, shape.groups), 256, device.stream(), plan, shape.rows, shape.channels, in,
                   partial.data());
    });
    merge(PartSums<double>{partial.data(), plan.row_blocks});
  }
  in.coefficients = coefficients.data();
  if (in.gx) backward_apply<T, width>(device, shape, in, given.values != nullptr);
}

template <class T>
Forward<T> forward_of(const BatchNormArrays& arrays) {
  using Real = Compute<T>;
  return {arrays.x.as<T>(),       arrays.add.as<T>(),     arrays.gamma.as<Real>(), arrays.beta.as<Real>(),
          arrays.mean.as<Real>(), arrays.rstd.as<Real>(), arrays.y.as<T>(),        arrays.positive.as<std::uint8_t>()};
}

}  // namespace

// With no rows, as on the CPU: the statistics are those of rows of zeros, and sums over rows are zero.

void CudaBackend::batch_norm(const NormShape& shape, const BatchNormArrays& arrays) {
  if (arrays.x.size == 0) {
    if (shape.training) fill(arrays.mean, 0), fill(arrays.rstd, 1 / std::sqrt(shape.epsilon));
    return;
  }
  with_float(arrays.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const Forward<T> in = forward_of<T>(arrays);
    with_norm_width<T>(shape, {in.x, in.add, in.y, in.gamma, in.beta, in.mean, in.rstd}, [&](auto width) {
      constexpr int w = decltype(width)::value;
      if (shape.training)
        statistics<T, w>(*this, shape, in.x, arrays.mean.as<Real>(), arrays.rstd.as<Real>(), arrays.running);
      forward<T, w>(device_, shape, in, !shape.training);
    });
  });
}

bool batch_norm_of_tiles(CudaBackend& gpu, const NormShape& shape, const ConvStatistics& given,
                         const BatchNormArrays& arrays) {
  if (arrays.x.size == 0 || !norm_takes_tiles(shape, arrays.x.dtype)) return false;
  const std::int64_t tiles = ceil_div(shape.rows, conv_statistics_rows);
  statistics_of_tiles(gpu, shape, {given.mean, given.squares, conv_statistics_rows, tiles}, arrays.mean.as<float>(),
                      arrays.rstd.as<float>(), arrays.running);
  const Forward<bf16> in = forward_of<bf16>(arrays);
  with_norm_width<bf16>(shape, {in.x, in.add, in.y, in.gamma, in.beta, in.mean, in.rstd},
                        [&](auto width) { forward<bf16, decltype(width)::value>(gpu.device(), shape, in, true); });
  return true;
}

void CudaBackend::batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& arrays) {
  if (arrays.x.size == 0) {
    if (arrays.ggamma) fill(arrays.ggamma, 0);
    if (arrays.gbeta) fill(arrays.gbeta, 0);
    return;
  }
  const PositiveBits positive(device_, shape, arrays.y);
  with_float(arrays.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const Backward<T> in{arrays.g.as<T>(),     arrays.x.as<T>(), positive.data(),  arrays.mean.as<Real>(),
                         arrays.g_add.as<T>(), nullptr,          arrays.gx.as<T>()};
    with_norm_width<T>(shape, {in.g, in.x, in.g_add, in.gx, in.mean}, [&](auto width) {
      backward<T, decltype(width)::value>(
          *this, shape, in,
          {arrays.gamma.as<Real>(), arrays.rstd.as<Real>(), arrays.ggamma.as<Real>(), arrays.gbeta.as<Real>()},
          {arrays.sums.as<float>(), arrays.sums.size / (2 * shape.groups * shape.channels)});
    });
  });
}

}  // namespace vergence::VERGENCE_GPU
