// Batch norm's double backward on the GPU, per statistic group and channel, in the notation of kernels/cpu/norm.cpp:
//   dg = gamma r P a + b xh + c [+ a_add],  dgamma = sum r a (P g),
//   dx = r b P g - gamma r^2 [A (g - m(g)) + G (a - m(a)) + (C - 3 A G) xh]
// Bytes per element, of the activations' type: 2 reads of g, a and x, 1 of a_add, 2 writes; the ReLU's mask is 1 bit.
// If only dg is wanted (`whole` is false, as for a meta-gradient), g is not read, and two sums replace five. Bound by
// memory (H200 data sheet: 4.8 TB/s). Three kernels like those of the backward pass. They check at run time which
// cotangents exist, since few steps use this.
#include "kernels/cuda/backend.h"
#include "kernels/cuda/norm/bits.h"
#include "kernels/cuda/norm/ranks.h"
#include "kernels/shared/norm_double.h"

namespace vergence::VERGENCE_GPU {
namespace {

/// All arrays of one double backward. Absent ones are null.
template <class T>
struct DoubleBackward {
  using Real = Compute<T>;
  const T *a, *a_add;
  const Real *b, *c;
  const T *g, *x;
  const std::uint8_t* positive;
  const Real *gamma, *mean, *rstd;
  T *dg, *dx;
  Real *dgamma, *coefficients;
};

/// One thread's reads of one row: g after the mask (if `whole`), a (0 if there is none), x.
template <class T, int width, bool whole>
struct Operands {
  Pack<T, width> g, a, x;
  ReluBits<true> positive;

  __device__ void load(const DoubleBackward<T>& in, std::int64_t place) {
    if constexpr (whole) g = load_pack<width>(in.g + place);
    x = load_pack<width>(in.x + place);
    if (in.a) a = load_pack<width>(in.a + place);
    positive.bits = 0xffu;
    if (in.positive) positive.load(in.positive, place);
  }
  __device__ void fill(const DoubleBackward<T>& in) {
#pragma unroll
    for (int k = 0; k < width; ++k) {
      if constexpr (whole) g.values[k] = positive.masked(g.values[k], k);
      if (!in.a) a.values[k] = T(0.0f);
    }
  }
};

/// Sums over each block's rows: of a, a d and, if `whole`, g, a g, g d.
template <bool whole>
constexpr int sum_count = whole ? 5 : 2;

template <class T, int width, bool whole>
__global__ void norm_double_sums(ColumnPlan plan, std::int64_t rows, std::int64_t channels, DoubleBackward<T> in,
                                 double* partial) {
  using Real = Compute<T>;
  constexpr int at_once = rows_at_once<T, width>(whole ? 3 : 2);
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
  Real sums[sum_count<whole>][width] = {};
  if (at.channel < channels) {
    Real mean[width];
    load_channels(in.mean, at.group * channels + at.channel, mean);
    for_places<at_once>(plan, at, rows, channels, [&](const std::int64_t(&place)[at_once], int present) {
      Operands<T, width, whole> values[at_once];
#pragma unroll
      for (int i = 0; i < at_once; ++i) values[i].load(in, place[i]);
#pragma unroll
      for (int i = 0; i < at_once; ++i) {
        if (i >= present) continue;
        values[i].fill(in);
#pragma unroll
        for (int k = 0; k < width; ++k) {
          const Real a = static_cast<Real>(values[i].a.values[k]);
          const Real d = static_cast<Real>(values[i].x.values[k]) - mean[k];
          sums[0][k] += a;
          sums[1][k] += a * d;
          if constexpr (whole) {
            const Real g = static_cast<Real>(values[i].g.values[k]);
            sums[2][k] += g;
            sums[3][k] += a * g;
            sums[4][k] += g * d;
          }
        }
      }
    });
  }
  store_block_sums(plan, at, channels, sums, partial);
}

using Row = DoubleCoefficients;  // each (groups, channels)

template <bool whole>
__device__ DoubleSums double_sums(const double (&s)[sum_count<whole>]) {
  DoubleSums sums{.a = s[0], .ad = s[1]};
  if constexpr (whole) sums.g = s[2], sums.ag = s[3], sums.gd = s[4];
  return sums;
}

/// One block per merge_channels: the coefficients, group after group, and dgamma. own: with ranks, this rank's sums
/// [group][term][channels]; otherwise null.
template <class T, bool whole>
__global__ void merge_double(std::int64_t row_blocks, NormShape shape, const double* partial, const double* own,
                             DoubleBackward<T> in) {
  using Real = Compute<T>;
  const MergePlace at = merge_place();
  const std::int64_t size = shape.groups * shape.channels;
  const bool last = at.phase == 0 && at.channel < shape.channels;
  double gamma_sum = 0;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    double s[sum_count<whole>];
    merge_sums<1, sum_count<whole>>(at, group, row_blocks, shape.channels, partial, s);
    if (!last) continue;
    const DoubleSums sums = double_sums<whole>(s);
    if (own)
#pragma unroll
      for (int i = 0; i < sum_count<whole>; ++i)
        s[i] = own[(group * sum_count<whole> + i) * shape.channels + at.channel];
    const std::int64_t k = group * shape.channels + at.channel;
    const DoubleCoefficients of(shape, sums, double_sums<whole>(s), in.rstd[k], in.gamma ? in.gamma[at.channel] : 1,
                                in.b ? in.b[at.channel] : 0, in.c ? in.c[at.channel] : 0);
    gamma_sum += of.dgamma;
#pragma unroll
    for (int row = 0; row < Row::row_count; ++row) in.coefficients[row * size + k] = static_cast<Real>(of.rows[row]);
  }
  if (in.dgamma && last) in.dgamma[at.channel] = static_cast<Real>(gamma_sum);
}

template <class T, int width, bool whole>
__global__ void norm_double_backward(ColumnPlan plan, std::int64_t rows, std::int64_t channels, std::int64_t size,
                                     DoubleBackward<T> in) {
  using Real = Compute<T>;
  const ThreadShare at = share_in(plan, rows, block_of(plan), width);
  if (at.channel >= channels) return;
  const std::int64_t first = at.group * channels + at.channel;
  Real mean[width], of[Row::row_count][width];
  load_channels(in.mean, first, mean);
#pragma unroll
  for (int row = whole ? 0 : Row::mean_a; row < (whole ? Row::row_count : Row::dx_a); ++row)
    load_channels(in.coefficients + row * size, first, of[row]);
  for_rows<1>(at, [&](const std::int64_t(&row)[1], int) {
    const std::int64_t place = row[0] * channels + at.channel;
    Operands<T, width, whole> values;
    Pack<T, width> a_add;
    Real dg[width], dx[width];
    values.load(in, place);
    if (in.a_add) a_add = load_pack<width>(in.a_add + place);
    values.fill(in);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const Real a = static_cast<Real>(values.a.values[k]) - of[Row::mean_a][k];
      const Real d = static_cast<Real>(values.x.values[k]) - mean[k];
      Real first_order = of[Row::dg_a][k] * a + of[Row::dg_d][k] * d + of[Row::dg_1][k];
      if (in.a_add) first_order += static_cast<Real>(a_add.values[k]);
      dg[k] = values.positive.masked(first_order, k);
      if constexpr (whole) {
        const Real g = static_cast<Real>(values.g.values[k]) - of[Row::mean_g][k];
        dx[k] = of[Row::dg_d][k] * g + of[Row::dx_a][k] * a + of[Row::dx_d][k] * d;
      }
    }
    if (in.dg) store_pack(in.dg + place, pack_of<T>(dg));
    if constexpr (whole)
      if (in.dx) store_pack(in.dx + place, pack_of<T>(dx));
  });
}

template <class T, int width, bool whole>
void double_backward(CudaBackend& gpu, const NormShape& shape, DoubleBackward<T> in) {
  Device& device = gpu.device();
  const std::int64_t size = shape.groups * shape.channels;
  const ColumnPlan plan = sums_plan(shape.groups, shape.rows, shape.channels, width);
  const ColumnPlan apply = apply_plan(shape.groups, shape.rows, shape.channels, width);
  const Scratch<double> partial(device, plan.row_blocks * sum_count<whole> * size);
  const Scratch<Compute<T>> coefficients(device, Row::row_count * size);
  in.coefficients = coefficients.data();
  launch("norm_double_sums", norm_double_sums<T, width, whole>, blocks_of(plan, shape.groups), 256, device.stream(),
         plan, shape.rows, shape.channels, in, partial.data());
  const auto merge = [&](std::int64_t parts, const double* sums, const double* own) {
    launch("merge_double", merge_double<T, whole>, blocks_for(shape.channels, merge_channels), merge_threads,
           device.stream(), parts, shape, sums, own, in);
  };
  if (over_ranks(shape)) {
    const RankSums<sum_count<whole>> sums(gpu, shape, plan.row_blocks, partial.data());
    merge(1, sums.all(), sums.own());
  } else {
    merge(plan.row_blocks, partial.data(), nullptr);
  }
  if (in.dg || in.dx)
    launch("norm_double_backward", norm_double_backward<T, width, whole>, blocks_of(apply, shape.groups), 256,
           device.stream(), apply, shape.rows, shape.channels, size, in);
}

}  // namespace

void CudaBackend::batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& arrays) {
  if (arrays.x.size == 0) {
    if (arrays.dgamma) fill(arrays.dgamma, 0);
    return;
  }
  const PositiveBits positive(device_, shape, arrays.y);
  with_float(arrays.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const DoubleBackward<T> in{arrays.a.as<T>(),         arrays.a_add.as<T>(),
                               arrays.b.as<Real>(),      arrays.c.as<Real>(),
                               arrays.g.as<T>(),         arrays.x.as<T>(),
                               positive.data(),          arrays.gamma.as<Real>(),
                               arrays.mean.as<Real>(),   arrays.rstd.as<Real>(),
                               arrays.dg.as<T>(),        arrays.dx.as<T>(),
                               arrays.dgamma.as<Real>(), nullptr};
    with_norm_width<T>(shape, {in.a, in.a_add, in.g, in.x, in.dg, in.dx, in.mean}, [&](auto width) {
      with_flag(in.dx || in.dgamma, [&](auto whole) {
        double_backward<T, decltype(width)::value, decltype(whole)::value>(*this, shape, in);
      });
    });
  });
}

}  // namespace vergence::VERGENCE_GPU
