// Optimizers over one flat buffer of parameters, segment by segment (a segment is one parameter tensor).
//   sgd   d = g + wd p; v = mu v + d; p -= lr (nesterov ? d + mu v : v)
//   lars  d = ratio (g + wd p), ratio = eta |p| / (|g| + wd |p| + eps); v = mu v + d; p -= lr v    (You et al. 2017)
//         ratio with joint_norm: eta |p| / |g + wd p|; with clip: min(ratio / lr, 1). Where |p| or |g| is zero, and for
//         segments that do not adapt, d = g: neither decay nor ratio.
//   adam  m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps);
//         weight decay is added to g, or, decoupled, shrinks p by 1 - lr wd first (AdamW)
// sgd and adam decay every segment; only lars uses `adapt`. With momentum 0 the momentum buffer is not touched. Norms
// are summed in double. Bound by memory: reads g, p and the state, writes p and the state; lars reads g and p once more
// for the norms.
//   moving average   a = keep a + (1 - keep) x
#include <cmath>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {
namespace {

/// Calls `update(i)` for every element of a segment, vectorized and in parallel.
template <class Update>
void for_segment(const Segment& segment, const Update update) {
  parallel_for(segment.size, cpu::grain, [&](std::int64_t begin, std::int64_t end) {
    cpu::for_simd(segment.offset + begin, segment.offset + end, update);
  });
}

/// d = ratio (g + decay p), v = momentum v + d, p -= lr (now d + ahead v). Nesterov: now = 1, ahead = momentum;
/// otherwise now = 0, ahead = 1.
template <class T>
struct MomentumStep {
  T lr, momentum, decay, ratio;
  bool nesterov;

  void run(const Segment& segment, const T* g, T* p, T* v) const {
    if (momentum == T(0)) {
      for_segment(segment, [=, *this](std::int64_t i) { p[i] -= lr * (ratio * (g[i] + decay * p[i])); });
      return;
    }
    const T ahead = nesterov ? momentum : T(1), now = nesterov ? T(1) : T(0);
    for_segment(segment, [=, *this](std::int64_t i) {
      const T d = ratio * (g[i] + decay * p[i]);
      const T velocity = momentum * v[i] + d;
      v[i] = velocity;
      p[i] -= lr * (now * d + ahead * velocity);
    });
  }
};

/// The factor of a segment's gradient under LARS, or 0 if neither decay nor adaptation applies.
template <class T>
double trust_ratio(const LarsSettings& s, double lr, const Segment& segment, const T* g, const T* p) {
  const T *gs = g + segment.offset, *ps = p + segment.offset;
  const auto square = [](T value) { return static_cast<double>(value) * static_cast<double>(value); };
  const double p_norm = std::sqrt(cpu::sum_all(segment.size, [=](std::int64_t i) { return square(ps[i]); }));
  const double g_norm = std::sqrt(cpu::sum_all(segment.size, [=](std::int64_t i) { return square(gs[i]); }));
  if (p_norm == 0 || g_norm == 0) return 0;
  double below = g_norm + s.weight_decay * p_norm + s.epsilon;
  if (s.joint_norm) {
    const T decay = static_cast<T>(s.weight_decay);
    below = std::sqrt(cpu::sum_all(segment.size, [=](std::int64_t i) { return square(gs[i] + decay * ps[i]); }));
    if (below == 0) return 1;  // nothing to scale
  }
  const double ratio = s.eta * p_norm / below;
  return s.clip ? std::min(ratio / lr, 1.0) : ratio;
}

/// Updates the rounded copy of what was written, if there is one.
template <class T>
void round_segments(const std::vector<Segment>& segments, const T* from, Array rounded) {
  bf16* to = rounded.as<bf16>();
  if (!to) return;
  for (const Segment& segment : segments)
    for_segment(segment, [=](std::int64_t i) { to[i] = bf16(static_cast<float>(from[i])); });
}

}  // namespace

void CpuBackend::sgd(const SgdSettings& s, const std::vector<Segment>& segments, ConstArray scalars,
                     ConstArray gradient, Array parameters, Array momentum, Array rounded) {
  const double lr = scalars.as<double>()[0];
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* g = gradient.as<T>();
    T *p = parameters.as<T>(), *v = momentum.as<T>();
    const MomentumStep<T> step{static_cast<T>(lr), static_cast<T>(s.momentum), static_cast<T>(s.weight_decay), T(1),
                               s.nesterov};
    for (const Segment& segment : segments) step.run(segment, g, p, v);
    round_segments(segments, p, rounded);
  });
}

void CpuBackend::lars(const LarsSettings& s, const std::vector<Segment>& segments, ConstArray scalars,
                      ConstArray gradient, Array parameters, Array momentum, Array rounded) {
  const double lr = scalars.as<double>()[0];
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* g = gradient.as<T>();
    T *p = parameters.as<T>(), *v = momentum.as<T>();
    for (const Segment& segment : segments) {
      const double ratio = segment.adapt ? trust_ratio(s, lr, segment, g, p) : 0;
      const double decay = ratio != 0 ? s.weight_decay : 0;
      const MomentumStep<T> step{static_cast<T>(lr), static_cast<T>(s.momentum), static_cast<T>(decay),
                                 static_cast<T>(ratio != 0 ? ratio : 1), false};
      step.run(segment, g, p, v);
    }
    round_segments(segments, p, rounded);
  });
}

void CpuBackend::adam(const AdamSettings& s, const std::vector<Segment>& segments, ConstArray scalars,
                      ConstArray gradient, Array parameters, Array first_moment, Array second_moment, Array rounded) {
  const double *const scalar = scalars.as<double>(), lr = scalar[0], correction1 = scalar[1], correction2 = scalar[2];
  with_master(parameters.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* g = gradient.as<T>();
    T *p = parameters.as<T>(), *m = first_moment.as<T>(), *v = second_moment.as<T>();
    const T step_size = static_cast<T>(lr / correction1), root = static_cast<T>(std::sqrt(correction2));
    const T keep1 = static_cast<T>(s.beta1), keep2 = static_cast<T>(s.beta2), epsilon = static_cast<T>(s.epsilon);
    const T new1 = static_cast<T>(1 - s.beta1), new2 = static_cast<T>(1 - s.beta2);
    const T added = static_cast<T>(s.decoupled ? 0 : s.weight_decay);
    const T shrink = static_cast<T>(s.decoupled ? 1 - lr * s.weight_decay : 1);
    for (const Segment& segment : segments)
      for_segment(segment, [=](std::int64_t i) {
        const T gi = g[i] + added * p[i];
        m[i] = keep1 * m[i] + new1 * gi;
        v[i] = keep2 * v[i] + new2 * gi * gi;
        p[i] = shrink * p[i] - step_size * (m[i] / (std::sqrt(v[i]) / root + epsilon));
      });
    round_segments(segments, p, rounded);
  });
}

void CpuBackend::moving_average(ConstArray keep, ConstArray values, Array average, Array rounded) {
  with_master(average.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T kept = static_cast<T>(*keep.as<double>()), taken = static_cast<T>(1 - *keep.as<double>());
    const T* x = values.as<T>();
    T* a = average.as<T>();
    for_segment({0, average.size}, [=](std::int64_t i) { a[i] = kept * a[i] + taken * x[i]; });
    round_segments({{0, average.size}}, a, rounded);
  });
}

}  // namespace vergence
