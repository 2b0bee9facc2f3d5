// Batch norm, its backward and its double backward, per statistic group and channel, over M rows. With
// r = 1 / sqrt(var + eps), d = x - mu, xh = d r, and P z = z - m(z) - xh m(xh z), where m is the mean over rows:
//   forward   y = [relu](gamma xh + beta [+ add])
//   backward  gx = gamma r P g, ggamma = sum g xh, gbeta = sum g
//   double    dg = gamma r P a + b xh + c [+ a_add],  dgamma = sum r a (P g),
//             dx = r b P g - gamma r^2 [A (g - m(g)) + G (a - m(a)) + (C - 3 A G) xh],
//             G = m(xh g), A = m(xh a), C = m(a g) - m(a) m(g)
// With given statistics (training false) P is the identity and dx = r b g. With relu, g counts where y > 0 only.
// Statistics are centered block by block and merged in double (Chan, Golub, LeVeque 1979): never E[x^2] - mu^2.
// With ranks, M counts the rows of all of them: they exchange their moments or sums, in double, after the first pass.
// Bound by memory. Bytes per element, of the activations' type: forward 2 reads of x, 1 of add, 1 write; backward 2
// reads of g and x (and y), 1 or 2 writes; double backward 2 reads of g, a, x (and y), 2 writes.
#include <cmath>

#include "kernels/communicator.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"
#include "kernels/shared/norm_double.h"
#include "kernels/shared/running_statistics.h"

namespace vergence {
namespace {

using cpu::with_flag;

/// Per-channel values of one kernel in Compute<T>, `count` named rows of groups * channels values.
template <class Real>
struct Coefficients {
  Coefficients(const NormShape& shape, int count)
      : size(shape.groups * shape.channels), values(static_cast<std::size_t>(count * size)) {}
  Real* operator[](int row) { return values.data() + row * size; }

  std::int64_t size;
  std::vector<Real> values;
};

/// Calls `body(begin, end, k)` in parallel on runs of rows of one group, as flat elements; k is the index of the first
/// of the group's per-channel values. Runs are short enough to stay in cache from one loop of the body to the next.
template <class Body>
void for_row_runs(const NormShape& shape, const Body& body) {
  const std::int64_t run = std::clamp<std::int64_t>(8192 / shape.channels, 1, shape.rows);
  const std::int64_t runs = (shape.rows + run - 1) / run;
  const std::int64_t run_grain = std::max<std::int64_t>(1, cpu::grain / (run * shape.channels));
  parallel_for(shape.groups * runs, run_grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t group = unit / runs, first = unit % runs * run, last = std::min(shape.rows, first + run);
      body(group * shape.rows + first, group * shape.rows + last, group * shape.channels);
    }
  });
}

/// Calls `body(i, k)` for every element i of rows [begin, end), channel by channel, vectorized.
template <class Body>
void for_elements(std::int64_t begin, std::int64_t end, std::int64_t channels, std::int64_t k, const Body body) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = row * channels;
    cpu::for_simd(0, channels, [=](std::int64_t c) { body(first + c, k + c); });
  }
}

/// The cotangent of the value before the ReLU.
template <bool relu, class T>
Compute<T> masked(T g, const T* y, std::int64_t i) {
  using Real = Compute<T>;
  if constexpr (relu) return static_cast<Real>(y[i]) > Real(0) ? static_cast<Real>(g) : Real(0);
  return static_cast<Real>(g);
}

/// The sum of all ranks' values; without ranks, the values.
std::vector<double> over_ranks(const NormShape& shape, Backend& backend, std::vector<double> values) {
  if (!shape.ranks) return values;
  const Array all{values.data(), static_cast<std::int64_t>(values.size()), DType::f64};
  shape.ranks->all_reduce(backend, all, all);
  return values;
}

// ---- statistics

/// Count, mean and centered sum of squares of each channel.
struct Moments {
  explicit Moments(std::int64_t channels)
      : mean(static_cast<std::size_t>(channels)), squares(static_cast<std::size_t>(channels)) {}

  void merge(double other_count, const double* other_mean, const double* other_squares) {
    const double total = count + other_count;
    for (std::size_t c = 0; c < mean.size(); ++c) {
      const double delta = other_mean[c] - mean[c];
      mean[c] += delta * (other_count / total);
      squares[c] += other_squares[c] + delta * delta * (count * other_count / total);
    }
    count = total;
  }

  double count = 0;
  std::vector<double> mean, squares;
};

/// Moments of rows [begin, end), part by part: first each part's mean, then its deviations, read from cache.
template <class T>
Moments moments_of_rows(const T* x, std::int64_t begin, std::int64_t end, std::int64_t channels) {
  using Real = Compute<T>;
  const std::int64_t part = std::max<std::int64_t>(1, 32768 / channels);
  Moments all(channels);
  std::vector<double> sums(static_cast<std::size_t>(2 * channels));
  std::vector<Real> pivot(static_cast<std::size_t>(channels));
  for (std::int64_t first = begin; first < end; first += part) {
    const std::int64_t last = std::min(end, first + part);
    const double count = static_cast<double>(last - first);
    std::fill(sums.begin(), sums.end(), 0.0);
    cpu::add_columns<1, Real>(first, last, channels, sums.data(),
                              [=](std::int64_t i, std::int64_t, Real* add) { add[0] += static_cast<Real>(x[i]); });
    Real* const center = pivot.data();
    double *const mean = sums.data(), *const squares = mean + channels;
    for (std::int64_t c = 0; c < channels; ++c) center[c] = static_cast<Real>(mean[c] / count);
    std::fill(sums.begin(), sums.end(), 0.0);
    cpu::add_columns<2, Real>(first, last, channels, sums.data(), [=](std::int64_t i, std::int64_t c, Real* add) {
      const Real d = static_cast<Real>(x[i]) - center[c];
      add[0] += d;
      add[1] += d * d;
    });
    for (std::int64_t c = 0; c < channels; ++c) {  // the pivot is rounded: correct for the remaining mean
      squares[c] -= mean[c] * (mean[c] / count);
      mean[c] = static_cast<double>(center[c]) + mean[c] / count;
    }
    all.merge(count, mean, squares);
  }
  return all;
}

/// The moments of all ranks' rows of each group; those of this rank without ranks.
std::vector<Moments> over_ranks(const NormShape& shape, Backend& backend, std::vector<Moments> groups) {
  if (!shape.ranks) return groups;
  std::vector<double> own;
  for (const Moments& group : groups) {
    own.insert(own.end(), group.mean.begin(), group.mean.end());
    own.insert(own.end(), group.squares.begin(), group.squares.end());
  }
  std::vector<double> all(own.size() * static_cast<std::size_t>(shape.rank_count));
  shape.ranks->all_gather(backend, {own.data(), static_cast<std::int64_t>(own.size()), DType::f64},
                          {all.data(), static_cast<std::int64_t>(all.size()), DType::f64});
  const double* from = all.data();
  for (Moments& group : groups) group = Moments(shape.channels);
  for (std::int64_t rank = 0; rank < shape.rank_count; ++rank)
    for (Moments& group : groups) {
      group.merge(static_cast<double>(shape.rows), from, from + shape.channels);
      from += 2 * shape.channels;
    }
  return groups;
}

template <class T>
void statistics(const NormShape& shape, Backend& backend, const T* x, Compute<T>* mean, Compute<T>* rstd) {
  using Real = Compute<T>;
  const std::int64_t blocks = cpu::blocks_per_group(shape.groups, shape.rows, shape.channels);
  std::vector<Moments> partial(static_cast<std::size_t>(shape.groups * blocks), Moments(0));
  const std::int64_t block_size = shape.rows * shape.channels / blocks;
  parallel_for(shape.groups * blocks, cpu::row_grain(block_size), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t first = unit / blocks * shape.rows, block = unit % blocks;
      partial[static_cast<std::size_t>(unit)] = moments_of_rows(
          x, first + shape.rows * block / blocks, first + shape.rows * (block + 1) / blocks, shape.channels);
    }
  });
  std::vector<Moments> groups;
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    groups.push_back(std::move(partial[static_cast<std::size_t>(group * blocks)]));
    for (std::int64_t block = 1; block < blocks; ++block) {
      const Moments& part = partial[static_cast<std::size_t>(group * blocks + block)];
      groups.back().merge(part.count, part.mean.data(), part.squares.data());
    }
  }
  groups = over_ranks(shape, backend, std::move(groups));
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    const Moments& all = groups[static_cast<std::size_t>(group)];
    for (std::int64_t c = 0; c < shape.channels; ++c) {
      const double variance = all.squares[static_cast<std::size_t>(c)] / static_cast<double>(shape.all_rows());
      mean[group * shape.channels + c] = static_cast<Real>(all.mean[static_cast<std::size_t>(c)]);
      rstd[group * shape.channels + c] = static_cast<Real>(1 / std::sqrt(variance + shape.epsilon));
    }
  }
}

// ---- the ReLU's mask as bits

template <class T>
void store_bits(const Array& positive, const T* y, std::int64_t size) {
  std::uint8_t* const bits = positive.as<std::uint8_t>();
  parallel_for((size + 7) / 8, cpu::grain / 8, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t byte = begin; byte < end; ++byte) {
      unsigned value = 0;
      for (std::int64_t i = 8 * byte; i < std::min(size, 8 * byte + 8); ++i)
        value |= (static_cast<Compute<T>>(y[i]) > 0 ? 1u : 0u) << i % 8;
      bits[byte] = static_cast<std::uint8_t>(value);
    }
  });
}

/// The output, exact only in sign: y itself, or 0 and 1 made from the bits given instead of y.
template <class T>
class SignOfOutput {
 public:
  SignOfOutput(const ConstArray& y, std::int64_t size) : values_(y.dtype == DType::u8 ? nullptr : y.as<T>()) {
    if (y.dtype != DType::u8) return;
    const std::uint8_t* const bits = y.as<std::uint8_t>();
    for (std::int64_t i = 0; i < size; ++i) made_.push_back(T(static_cast<float>(bits[i / 8] >> i % 8 & 1)));
    values_ = made_.data();
  }
  const T* data() const { return values_; }

 private:
  std::vector<T> made_;
  const T* values_;
};

// ---- forward

template <class T>
void forward(const NormShape& shape, const T* x, const Compute<T>* gamma, const Compute<T>* beta, const T* add,
             const Compute<T>* mean, const Compute<T>* rstd, T* y) {
  using Real = Compute<T>;
  Coefficients<Real> per_channel(shape, 2);
  Real *const scale = per_channel[0], *const shift = per_channel[1];
  for (std::int64_t k = 0; k < per_channel.size; ++k) {
    const std::int64_t c = k % shape.channels;
    scale[k] = rstd[k] * (gamma ? gamma[c] : Real(1));
    shift[k] = beta ? beta[c] : Real(0);
  }
  with_flag(shape.relu, [&](auto relu) {
    with_flag(add != nullptr, [&](auto has_add) {
      for_row_runs(shape, [&](std::int64_t begin, std::int64_t end, std::int64_t k0) {
        for_elements(begin, end, shape.channels, k0, [=](std::int64_t i, std::int64_t k) {
          Real value = (static_cast<Real>(x[i]) - mean[k]) * scale[k] + shift[k];
          if constexpr (decltype(has_add)::value) value += static_cast<Real>(add[i]);
          if constexpr (decltype(relu)::value) value = value < Real(0) ? Real(0) : value;
          y[i] = static_cast<T>(value);
        });
      });
    });
  });
}

// ---- backward

/// sums[(group * 2 + 0) * C + c] = sum g, [(group * 2 + 1) * C + c] = sum g d; writes the masked g to g_add if given.
template <class T>
std::vector<double> backward_sums(const NormShape& shape, const T* g, const T* x, const T* y, const Compute<T>* mean,
                                  T* g_add) {
  using Real = Compute<T>;
  return with_flag(shape.relu, [&](auto relu) {
    return with_flag(g_add != nullptr, [&](auto copies) {
      return cpu::column_sums<2, Real>(shape.groups, shape.rows, shape.channels,
                                       [=](std::int64_t i, std::int64_t k, Real* add) {
                                         const Real gi = masked<decltype(relu)::value>(g[i], y, i);
                                         if constexpr (decltype(copies)::value) g_add[i] = static_cast<T>(gi);
                                         add[0] += gi;
                                         add[1] += gi * (static_cast<Real>(x[i]) - mean[k]);
                                       });
    });
  });
}

/// gx = scale (g - center - d slope)
template <class T>
void backward_apply(const NormShape& shape, const T* g, const T* x, const T* y, const Compute<T>* mean,
                    const Compute<T>* scale, const Compute<T>* center, const Compute<T>* slope, T* gx) {
  using Real = Compute<T>;
  with_flag(shape.relu, [&](auto relu) {
    for_row_runs(shape, [&](std::int64_t begin, std::int64_t end, std::int64_t k0) {
      for_elements(begin, end, shape.channels, k0, [=](std::int64_t i, std::int64_t k) {
        const Real gi = masked<decltype(relu)::value>(g[i], y, i), d = static_cast<Real>(x[i]) - mean[k];
        gx[i] = static_cast<T>(scale[k] * (gi - center[k] - d * slope[k]));
      });
    });
  });
}

template <class T>
void backward(NormShape shape, Backend& backend, const T* g, const T* x, const T* y, const Compute<T>* gamma,
              const Compute<T>* mean, const Compute<T>* rstd, T* gx, T* g_add, Compute<T>* ggamma, Compute<T>* gbeta) {
  using Real = Compute<T>;
  const std::int64_t channels = shape.channels;
  const std::vector<double> own = backward_sums(shape, g, x, y, mean, g_add);
  const std::vector<double> sums = gx && shape.training ? over_ranks(shape, backend, own) : own;
  Coefficients<Real> per_channel(shape, 3);
  Real *const scale = per_channel[0], *const center = per_channel[1], *const slope = per_channel[2];
  std::vector<double> gamma_sum(static_cast<std::size_t>(channels)), beta_sum(static_cast<std::size_t>(channels));
  for (std::int64_t k = 0; k < per_channel.size; ++k) {
    const std::int64_t group = k / channels, c = k % channels;
    const double r = rstd[k], m = static_cast<double>(shape.all_rows());
    const auto at_g = static_cast<std::size_t>(2 * group * channels + c),
               at_gd = at_g + static_cast<std::size_t>(channels);
    const double sum_g = sums[at_g], sum_gd = sums[at_gd];
    gamma_sum[static_cast<std::size_t>(c)] += own[at_gd] * r;
    beta_sum[static_cast<std::size_t>(c)] += own[at_g];
    scale[k] = static_cast<Real>(r * (gamma ? static_cast<double>(gamma[c]) : 1.0));
    center[k] = static_cast<Real>(shape.training ? sum_g / m : 0.0);
    slope[k] = static_cast<Real>(shape.training ? sum_gd / m * r * r : 0.0);
  }
  for (std::int64_t c = 0; c < channels; ++c) {
    if (ggamma) ggamma[c] = static_cast<Real>(gamma_sum[static_cast<std::size_t>(c)]);
    if (gbeta) gbeta[c] = static_cast<Real>(beta_sum[static_cast<std::size_t>(c)]);
  }
  if (!gx) return;
  if (g_add) {  // already masked: saves reading y
    shape.relu = false;
    g = g_add;
  }
  backward_apply(shape, g, x, y, mean, scale, center, slope, gx);
}

// ---- double backward

/// All arrays of one double backward. Absent ones are null.
template <class T>
struct DoubleBackward {
  using Real = Compute<T>;
  NormShape shape;
  const T *a, *a_add;
  const Real *b, *c;
  const T *g, *x, *y;
  const Real *gamma, *mean, *rstd;
  T *dg, *dx;
  Real* dgamma;

  /// Sums per group and channel of g, a, a g, g d, a d; if only dg is wanted, zeros for those with g.
  std::vector<double> sums() const {
    return with_flag(shape.relu, [&](auto relu) {
      return with_flag(a != nullptr, [&](auto has_a) {
        const DoubleBackward in = *this;
        constexpr bool with_a = decltype(has_a)::value;
        if (!dx && !dgamma)
          return cpu::column_sums<5, Real>(shape.groups, shape.rows, shape.channels,
                                           [in](std::int64_t i, std::int64_t k, Real* add) {
                                             if constexpr (with_a) {
                                               const Real ai = static_cast<Real>(in.a[i]);
                                               add[1] += ai;
                                               add[4] += ai * (static_cast<Real>(in.x[i]) - in.mean[k]);
                                             }
                                           });
        return cpu::column_sums<5, Real>(shape.groups, shape.rows, shape.channels,
                                         [in](std::int64_t i, std::int64_t k, Real* add) {
                                           const Real gi = masked<decltype(relu)::value>(in.g[i], in.y, i);
                                           const Real d = static_cast<Real>(in.x[i]) - in.mean[k];
                                           add[0] += gi;
                                           add[3] += gi * d;
                                           if constexpr (with_a) {
                                             const Real ai = static_cast<Real>(in.a[i]);
                                             add[1] += ai;
                                             add[2] += ai * gi;
                                             add[4] += ai * d;
                                           }
                                         });
      });
    });
  }

  using Row = DoubleCoefficients;

  /// Fills the coefficients and writes dgamma; the sums are those over all ranks, and over this rank's rows.
  Coefficients<Real> coefficients(const std::vector<double>& sum, const std::vector<double>& own) const {
    Coefficients<Real> out(shape, Row::row_count);
    const std::int64_t channels = shape.channels;
    std::vector<double> gamma_sum(static_cast<std::size_t>(channels));
    for (std::int64_t k = 0; k < out.size; ++k) {
      const std::int64_t channel = k % channels;
      const auto sums_in = [&](const std::vector<double>& of) {
        const double* s = of.data() + k / channels * 5 * channels + channel;
        return DoubleSums{s[0], s[channels], s[2 * channels], s[3 * channels], s[4 * channels]};
      };
      const DoubleCoefficients of(shape, sums_in(sum), sums_in(own), rstd[k], gamma ? gamma[channel] : 1,
                                  b ? b[channel] : 0, c ? c[channel] : 0);
      gamma_sum[static_cast<std::size_t>(channel)] += of.dgamma;
      for (int row = 0; row < Row::row_count; ++row) out[row][k] = static_cast<Real>(of.rows[row]);
    }
    if (dgamma)
      for (std::int64_t k = 0; k < channels; ++k) dgamma[k] = static_cast<Real>(gamma_sum[static_cast<std::size_t>(k)]);
    return out;
  }

  template <bool relu, bool has_a, bool has_a_add>
  void write_dg(Coefficients<Real>& k_rows, std::int64_t begin, std::int64_t end, std::int64_t k0) const {
    const Real *ma = k_rows[Row::mean_a], *ka = k_rows[Row::dg_a], *kd = k_rows[Row::dg_d], *k1 = k_rows[Row::dg_1];
    for_elements(begin, end, shape.channels, k0, [=, *this](std::int64_t i, std::int64_t k) {
      Real value = kd[k] * (static_cast<Real>(x[i]) - mean[k]) + k1[k];
      if constexpr (has_a) value += ka[k] * (static_cast<Real>(a[i]) - ma[k]);
      if constexpr (has_a_add) value += static_cast<Real>(a_add[i]);
      if constexpr (relu) value = static_cast<Real>(y[i]) > Real(0) ? value : Real(0);
      dg[i] = static_cast<T>(value);
    });
  }

  template <bool relu, bool has_a>
  void write_dx(Coefficients<Real>& k_rows, std::int64_t begin, std::int64_t end, std::int64_t k0) const {
    const Real *mg = k_rows[Row::mean_g], *ma = k_rows[Row::mean_a];
    const Real *kg = k_rows[Row::dg_d], *ka = k_rows[Row::dx_a], *kd = k_rows[Row::dx_d];
    for_elements(begin, end, shape.channels, k0, [=, *this](std::int64_t i, std::int64_t k) {
      Real value = kd[k] * (static_cast<Real>(x[i]) - mean[k]) + kg[k] * (masked<relu>(g[i], y, i) - mg[k]);
      if constexpr (has_a) value += ka[k] * (static_cast<Real>(a[i]) - ma[k]);
      dx[i] = static_cast<T>(value);
    });
  }

  void run(Backend& backend) const {
    const std::vector<double> own = sums();
    Coefficients<Real> k_rows = coefficients(shape.training ? over_ranks(shape, backend, own) : own, own);
    with_flag(shape.relu, [&](auto relu) {
      with_flag(a != nullptr, [&](auto has_a) {
        with_flag(a_add != nullptr, [&](auto has_a_add) {
          constexpr bool relu_v = decltype(relu)::value, a_v = decltype(has_a)::value;
          for_row_runs(shape, [&](std::int64_t begin, std::int64_t end, std::int64_t k0) {
            if (dg) write_dg<relu_v, a_v, decltype(has_a_add)::value>(k_rows, begin, end, k0);
            if (dx) write_dx<relu_v, a_v>(k_rows, begin, end, k0);
          });
        });
      });
    });
  }
};

}  // namespace

namespace {

template <class Real>
void update_running(const NormShape& shape, const RunningUpdate& running, const Real* mean, const Real* rstd) {
  Real *means = running.mean.as<Real>(), *variances = running.variance.as<Real>();
  const RunningAverage<Real> rule(shape, running.share);
  for (std::int64_t c = 0; c < shape.channels; ++c)
    for (std::int64_t k = c; k < shape.groups * shape.channels; k += shape.channels)
      rule.step(mean[k], rstd[k], means[c], variances[c]);
}

}  // namespace

// The statistics of no rows are those of rows of zeros, and the sums over them are zero.

void CpuBackend::batch_norm(const NormShape& shape, const BatchNormArrays& in) {
  if (shape.rows == 0) {
    if (shape.training) fill(in.mean, 0), fill(in.rstd, 1 / std::sqrt(shape.epsilon));
    return;
  }
  with_float(in.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const auto *x = in.x.as<T>(), *add = in.add.as<T>();
    auto *mean = in.mean.as<Real>(), *rstd = in.rstd.as<Real>();
    if (shape.training) statistics(shape, *this, x, mean, rstd);
    if (in.running) update_running<Real>(shape, in.running, mean, rstd);
    forward(shape, x, in.gamma.as<Real>(), in.beta.as<Real>(), add, mean, rstd, in.y.as<T>());
    if (in.positive) store_bits(in.positive, in.y.as<T>(), in.y.size);
  });
}

void CpuBackend::batch_norm_backward(const NormShape& shape, const BatchNormBackwardArrays& in) {
  if (shape.rows == 0) {
    if (in.ggamma) fill(in.ggamma, 0);
    if (in.gbeta) fill(in.gbeta, 0);
    return;
  }
  with_float(in.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const SignOfOutput<T> sign(in.y, in.x.size);
    backward(shape, *this, in.g.as<T>(), in.x.as<T>(), sign.data(), in.gamma.as<Real>(), in.mean.as<Real>(),
             in.rstd.as<Real>(), in.gx.as<T>(), in.g_add.as<T>(), in.ggamma.as<Real>(), in.gbeta.as<Real>());
  });
}

void CpuBackend::batch_norm_double_backward(const NormShape& shape, const BatchNormDoubleBackwardArrays& in) {
  if (shape.rows == 0) {
    if (in.dgamma) fill(in.dgamma, 0);
    return;
  }
  with_float(in.x.dtype, [&](auto zero) {
    using T = decltype(zero);
    using Real = Compute<T>;
    const SignOfOutput<T> sign(in.y, in.x.size);
    DoubleBackward<T>{
        shape,         in.a.as<T>(),        in.a_add.as<T>(),    in.b.as<Real>(),    in.c.as<Real>(),    in.g.as<T>(),
        in.x.as<T>(),  sign.data(),         in.gamma.as<Real>(), in.mean.as<Real>(), in.rstd.as<Real>(), in.dg.as<T>(),
        in.dx.as<T>(), in.dgamma.as<Real>()}
        .run(*this);
  });
}

}  // namespace vergence
