// Tests the batch-norm kernels: forward and backward against plain loops in double; the double backward in f64 against
// central differences of the scalar whose gradient it is, and in f32 and bf16 against f64 on the same inputs.
#include "tests/support/kernel_check.h"

namespace vergence {
namespace {

/// One problem, with values rounded to `type`; empty vectors are absent arrays.
struct Problem {
  NormShape shape;
  DType type;
  Values x, gamma, beta, add, mean, rstd, y, g;  // of the forward and the backward
  Values a, a_add, b, c;                         // cotangents of gx, g_add, ggamma, gbeta

  std::int64_t size() const { return shape.groups * shape.rows * shape.channels; }
  std::size_t k_of(std::int64_t i) const {
    return count(i / (shape.rows * shape.channels) * shape.channels + i % shape.channels);
  }
  double gamma_at(std::size_t k) const { return gamma.empty() ? 1 : gamma[k % gamma.size()]; }
};

/// An input in the backend's memory, or nothing.
struct Given {
  Given(DType type, const Values& v) : block(v.empty() ? nullptr : std::make_unique<Block>(type, v)) {}
  operator ConstArray() const { return block ? ConstArray(*block) : ConstArray(); }
  std::unique_ptr<Block> block;
};

void plain_statistics(Problem& p) {
  const double rows = static_cast<double>(p.shape.rows);
  p.mean.assign(count(p.shape.groups * p.shape.channels), 0);
  p.rstd = p.mean;
  for (std::int64_t i = 0; i < p.size(); ++i) p.mean[p.k_of(i)] += p.x[count(i)] / rows;
  for (std::int64_t i = 0; i < p.size(); ++i)
    p.rstd[p.k_of(i)] += std::pow(p.x[count(i)] - p.mean[p.k_of(i)], 2) / rows;
  for (double& r : p.rstd) r = 1 / std::sqrt(r + p.shape.epsilon);
}

Values plain_forward(const Problem& p) {
  Values y(p.x.size());
  for (std::int64_t i = 0; i < p.size(); ++i) {
    const std::size_t k = p.k_of(i), at = count(i);
    y[at] = p.gamma_at(k) * (p.x[at] - p.mean[k]) * p.rstd[k] + (p.beta.empty() ? 0 : p.beta[k % p.beta.size()]);
    if (!p.add.empty()) y[at] += p.add[at];
    if (p.shape.relu) y[at] = std::max(y[at], 0.0);
  }
  return y;
}

struct Backward {
  Values gx, g_add, ggamma, gbeta;
};

Backward plain_backward(const Problem& p) {
  const std::size_t channels = count(p.shape.channels);
  Backward out{p.g, p.g, Values(channels), Values(channels)};
  Values mean_g(p.mean.size()), mean_gx(p.mean.size());
  const auto xh = [&](std::int64_t i) { return (p.x[count(i)] - p.mean[p.k_of(i)]) * p.rstd[p.k_of(i)]; };
  for (std::int64_t i = 0; i < p.size(); ++i) {
    const std::size_t k = p.k_of(i);
    double& g = out.g_add[count(i)];
    if (p.shape.relu && !(p.y[count(i)] > 0)) g = 0;
    out.ggamma[k % channels] += g * xh(i), out.gbeta[k % channels] += g;
    mean_g[k] += g / static_cast<double>(p.shape.rows), mean_gx[k] += g * xh(i) / static_cast<double>(p.shape.rows);
  }
  for (std::int64_t i = 0; i < p.size(); ++i) {
    const std::size_t k = p.k_of(i);
    const double projected = out.g_add[count(i)] - (p.shape.training ? mean_g[k] + xh(i) * mean_gx[k] : 0);
    out.gx[count(i)] = p.gamma_at(k) * p.rstd[k] * projected;
  }
  return out;
}

/// Statistics (when training) and output as the kernel gives them, the inputs rounded to `type`.
Problem make(NormShape shape, DType type, bool affine, bool add, double offset = 0) {
  Problem p{shape, type, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  const DType master = master_of(type);
  p.x = draw(type, p.size(), offset - 1, offset + 1, 1);
  p.g = draw(type, p.size(), -1, 1, 2), p.a = draw(type, p.size(), -1, 1, 3);
  if (affine) {
    p.gamma = draw(master, shape.channels, 0.5, 1.5, 4), p.beta = draw(master, shape.channels, -1, 1, 5);
    p.b = draw(master, shape.channels, -1, 1, 6), p.c = draw(master, shape.channels, -1, 1, 7);
  }
  if (add) p.add = draw(type, p.size(), -1, 1, 8), p.a_add = draw(type, p.size(), -1, 1, 9);
  plain_statistics(p);
  p.mean = Block(master, p.mean).values(), p.rstd = Block(master, p.rstd).values();
  p.y = Block(type, plain_forward(p)).values();
  return p;
}

std::vector<Problem> problems(DType type) {
  std::vector<Problem> out;
  const NormShape shapes[] = {{1, 2, 1}, {2, 17, 3}, {1, 65, 17}, {2, 131, 64}, {3, 9, 130}};
  for (NormShape shape : shapes)
    for (int options = 0; options < 16; ++options) {
      shape.relu = options & 1, shape.training = !(options & 2);
      out.push_back(make(shape, type, options & 4, options & 8));
    }
  return out;
}

TEST(BatchNormKernel, Forward) {
  for (DType type : float_types)
    for (const Problem& p : problems(type)) {
      const DType master = master_of(type);
      const Given x(type, p.x), gamma(master, p.gamma), beta(master, p.beta), add(type, p.add);
      check("batch_norm", type, {{type, plain_forward(p)}, {master, p.mean}, {master, p.rstd}}, [&](const auto& out) {
        if (!p.shape.training) {  // inputs, not outputs
          const Block mean(master, p.mean), rstd(master, p.rstd);
          cpu_backend().map(Map::copy, 1, mean.values().size(), {mean, {}}, {}, 1, 0, out[1]);
          cpu_backend().map(Map::copy, 1, rstd.values().size(), {rstd, {}}, {}, 1, 0, out[2]);
        }
        cpu_backend().batch_norm(
            p.shape, {.x = x, .gamma = gamma, .beta = beta, .add = add, .mean = out[1], .rstd = out[2], .y = out[0]});
      });
    }
}

TEST(BatchNormKernel, Backward) {
  for (DType type : float_types)
    for (const Problem& p : problems(type)) {
      if (p.shape.rows < 3) continue;  // with two rows, the gradient is of the order of epsilon
      const DType master = master_of(type);
      const Backward e = plain_backward(p);
      const Given g(type, p.g), x(type, p.x), y(type, p.y), gamma(master, p.gamma), mean(master, p.mean),
          rstd(master, p.rstd);
      check("batch_norm_backward", type, {{type, e.gx}, {type, e.g_add}, {master, e.ggamma}, {master, e.gbeta}},
            [&](const auto& out) {
              cpu_backend().batch_norm_backward(p.shape, {.g = g,
                                                          .x = x,
                                                          .y = y,
                                                          .gamma = gamma,
                                                          .mean = mean,
                                                          .rstd = rstd,
                                                          .gx = out[0],
                                                          .g_add = out[1],
                                                          .ggamma = out[2],
                                                          .gbeta = out[3]});
            });
      check("batch_norm_backward alone", type, {{type, e.gx}}, [&](const auto& out) {
        cpu_backend().batch_norm_backward(
            p.shape, {.g = g, .x = x, .y = y, .gamma = gamma, .mean = mean, .rstd = rstd, .gx = out[0]});
      });
    }
}

TEST(BatchNormKernel, OfNoRowsHasZeroGradients) {
  for (const DType type : float_types) {
    const DType master = master_of(type);
    NormShape shape{2, 0, 3};
    shape.epsilon = 0.25;
    const Block none(type, std::int64_t{0}), gamma(master, Values{1, 2, 3}), k(master, Values(6, 1.0));
    check("batch_norm", type, {{master, Values(6, 0.0)}, {master, Values(6, 2.0)}}, [&](const auto& out) {
      cpu_backend().batch_norm(shape, {.x = none, .gamma = gamma, .mean = out[0], .rstd = out[1], .y = none});
    });
    check("batch_norm_backward", type, {{master, Values(3, 0.0)}, {master, Values(3, 0.0)}}, [&](const auto& out) {
      cpu_backend().batch_norm_backward(shape, {.g = none,
                                                .x = none,
                                                .y = none,
                                                .gamma = gamma,
                                                .mean = k,
                                                .rstd = k,
                                                .gx = none,
                                                .ggamma = out[0],
                                                .gbeta = out[1]});
    });
    check("batch_norm_double_backward", type, {{master, Values(3, 0.0)}}, [&](const auto& out) {
      cpu_backend().batch_norm_double_backward(shape, {.a = none,
                                                       .b = gamma,
                                                       .c = gamma,
                                                       .g = none,
                                                       .x = none,
                                                       .y = none,
                                                       .gamma = gamma,
                                                       .mean = k,
                                                       .rstd = k,
                                                       .dg = none,
                                                       .dx = none,
                                                       .dgamma = out[0]});
    });
  }
}

struct Second {
  Values dg, dx, dgamma;
};

/// The double backward in `type`, from the problem's values.
Second double_backward(const Problem& p, DType type) {
  const DType master = master_of(type);
  const Given a(type, p.a), a_add(type, p.a_add), b(master, p.b), c(master, p.c), g(type, p.g), x(type, p.x),
      y(type, p.y);
  const Given gamma(master, p.gamma), mean(master, p.mean), rstd(master, p.rstd);
  const Block dg(type, p.size()), dx(type, p.size()), dgamma(master, p.shape.channels);
  cpu_backend().batch_norm_double_backward(p.shape, {.a = a,
                                                     .a_add = a_add,
                                                     .b = b,
                                                     .c = c,
                                                     .g = g,
                                                     .x = x,
                                                     .y = y,
                                                     .gamma = gamma,
                                                     .mean = mean,
                                                     .rstd = rstd,
                                                     .dg = dg,
                                                     .dx = dx,
                                                     .dgamma = dgamma});
  EXPECT_TRUE(dg.guard_intact() && dx.guard_intact() && dgamma.guard_intact());
  return {dg.values(), dx.values(), dgamma.values()};
}

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// S = <a, gx> + <a_add, g_add> + <b, ggamma> + <c, gbeta>; in training, the statistics follow x.
double scalar(Problem p) {
  if (p.shape.training) plain_statistics(p);
  const Backward back = plain_backward(p);  // the mask stays that of the given y
  return dot(p.a, back.gx) + dot(p.a_add, back.g_add) + dot(p.b, back.ggamma) + dot(p.c, back.gbeta);
}

/// The derivative of S along `direction` of one of its inputs.
double slope(const Problem& p, Values Problem::*input, const Values& direction) {
  const double h = 1e-5;
  Problem up = p, down = p;
  for (std::size_t i = 0; i < direction.size(); ++i) {
    (up.*input)[i] += h * direction[i];
    (down.*input)[i] -= h * direction[i];
  }
  return (scalar(up) - scalar(down)) / (2 * h);
}

TEST(BatchNormKernel, DoubleBackwardIsTheDerivative) {
  for (Problem p : problems(DType::f64))
    for (int absent = 0; absent < 4; ++absent) {  // cotangents may be absent
      if (p.shape.rows < 3) continue;
      if (absent == 1) p.a.clear();
      if (absent == 2) p.b.clear(), p.a_add.clear();
      if (absent == 3) p.c.clear();
      const Second second = double_backward(p, DType::f64);
      const auto expect = [&](const char* what, Values Problem::*input, const Values& gradient) {
        const Values direction = draw(DType::f64, static_cast<std::int64_t>(gradient.size()), -1, 1, 20);
        const double size = std::sqrt(dot(gradient, gradient) * dot(direction, direction)) + 1e-3;
        EXPECT_NEAR(dot(gradient, direction) / size, slope(p, input, direction) / size, 1e-7) << what;
      };
      expect("dg", &Problem::g, second.dg);
      expect("dx", &Problem::x, second.dx);
      if (!p.gamma.empty()) expect("dgamma", &Problem::gamma, second.dgamma);
    }
}

TEST(BatchNormKernel, DoubleBackwardInLowerPrecision) {
  for (DType type : {DType::f32, DType::bf16})
    for (const Problem& p : problems(type)) {
      if (p.shape.rows < 3) continue;
      const Second exact = double_backward(p, DType::f64), again = double_backward(p, type),
                   third = double_backward(p, type);
      EXPECT_LT(error_of(again.dg, exact.dg), tolerance(type));
      EXPECT_LT(error_of(again.dx, exact.dx), tolerance(type));
      EXPECT_LT(error_of(again.dgamma, exact.dgamma), tolerance(type));
      EXPECT_TRUE(again.dg == third.dg && again.dx == third.dx && again.dgamma == third.dgamma)
          << "differs from run to run";
    }
}

TEST(BatchNormKernel, MeanOfAHundredSigmas) {
  NormShape shape{2, 4096, 33};
  Problem p = make(shape, DType::f32, true, false, 100 * std::sqrt(1.0 / 3));
  plain_statistics(p);  // of the rounded x, in double
  const Given x(DType::f32, p.x), gamma(DType::f32, p.gamma), beta(DType::f32, p.beta);
  const Block mean(DType::f32, 66), rstd(DType::f32, 66), y(DType::f32, p.size());
  cpu_backend().batch_norm(shape, {.x = x, .gamma = gamma, .beta = beta, .mean = mean, .rstd = rstd, .y = y});
  EXPECT_LT(error_of(rstd.values(), p.rstd), 1e-6);
  EXPECT_LT(error_of(y.values(), plain_forward(p)), 1e-5);
  const Second exact = double_backward(p, DType::f64);
  p.mean = mean.values(), p.rstd = rstd.values();
  const Second single = double_backward(p, DType::f32);
  EXPECT_LT(error_of(single.dx, exact.dx), 1e-5);
  EXPECT_LT(error_of(single.dg, exact.dg), 1e-5);
}

}  // namespace
}  // namespace vergence
