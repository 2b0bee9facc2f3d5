// Fused ops against compositions of elementary ones, at first and second order; the convolution triple as a closed
// trilinear form; and the third order of small composites against differences.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/loss.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

Backend& cpu() { return cpu_backend(); }

Tensor random_tensor(const std::string& name, const Shape& shape) {
  return from_values(cpu(), shape, normal_values(name, 0, shape.size()));
}

/// Gradients of <c, f(in)> and of the sum of their products with fixed directions, as one list.
std::vector<Values> both_orders(const std::function<Tensor(const Tensors&)>& f, const Tensors& values) {
  Tensors in;
  for (const Tensor& value : values) in.push_back(leaf(value));
  const Tensor y = f(in);
  const Tensor c = leaf(random_tensor("c", y.shape));
  std::vector<Values> all = {y.values()};
  const Tensors first = grad({y}, in, {.create = true, .keep = true, .seeds = {c}});
  Tensors directions, wrt = in;
  for (const Tensor& g : first) all.push_back(g.values()), directions.push_back(random_tensor("a", g.shape));
  wrt.push_back(c);
  for (const Tensor& h : grad(first, wrt, {.create = false, .keep = false, .seeds = directions}))
    all.push_back(h.values());
  return all;
}

void expect_same(const std::function<Tensor(const Tensors&)>& fused, const std::function<Tensor(const Tensors&)>& plain,
                 const Tensors& in) {
  const std::vector<Values> a = both_orders(fused, in), b = both_orders(plain, in);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_LE(relative_error(a[i], b[i]), 1e-12) << "result " << i;
}

Tensor composed_norm_group(const Tensor& x, const Tensor& gamma, const Tensor& beta) {
  const double inverse = 1 / static_cast<double>(x.rows());
  const Tensor centered = x - inverse * sum_over_rows(x);
  const Tensor variance = inverse * sum_over_rows(square(centered));
  return centered / sqrt(variance + 1e-5) * gamma + beta;
}

Tensor composed_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, std::int64_t groups) {
  Tensors parts;
  const std::int64_t rows = x.shape[0] / groups;
  for (std::int64_t g = 0; g < groups; ++g)
    parts.push_back(composed_norm_group(slice(x, 0, g * rows, rows), gamma, beta));
  return concat(parts, 0);
}

class BatchNormForms : public testing::TestWithParam<std::tuple<int, bool, bool>> {};

TEST_P(BatchNormForms, EqualTheComposition) {
  const auto [groups, with_add, with_relu] = GetParam();
  const Shape shape{6, 2, 3, 5};
  Tensors in = {random_tensor("x", shape), random_tensor("gamma", {5}), random_tensor("beta", {5})};
  if (with_add) in.push_back(random_tensor("add", shape));
  const BatchNormOptions options{.groups = groups, .relu = with_relu};
  expect_same([&](const Tensors& t) { return batch_norm(t[0], t[1], t[2], t.size() > 3 ? t[3] : Tensor{}, options).y; },
              [&](const Tensors& t) {
                Tensor y = composed_norm(t[0], t[1], t[2], options.groups);
                if (t.size() > 3) y = y + t[3];
                return options.relu ? relu(y) : y;
              },
              in);
}

INSTANTIATE_TEST_SUITE_P(Forms, BatchNormForms,
                         testing::Combine(testing::Values(1, 2, 3), testing::Bool(), testing::Bool()));

TEST(Fused, BatchNormStatistics) {
  const Tensor x = random_tensor("x", {6, 4});
  const BatchNormResult r = batch_norm(x, {}, {}, {}, {.groups = 2});
  const Values v = x.values(), mean = r.mean.values(), rstd = r.rstd.values();
  for (std::size_t g = 0; g < 2; ++g)
    for (std::size_t c = 0; c < 4; ++c) {
      double m = 0, var = 0;
      for (std::size_t i = 0; i < 3; ++i) m += v[(g * 3 + i) * 4 + c] / 3;
      for (std::size_t i = 0; i < 3; ++i) var += std::pow(v[(g * 3 + i) * 4 + c] - m, 2) / 3;
      EXPECT_NEAR(mean[g * 4 + c], m, 1e-14);
      EXPECT_NEAR(rstd[g * 4 + c], 1 / std::sqrt(var + 1e-5), 1e-12);
    }
  EXPECT_EQ(r.mean.node, nullptr);
  EXPECT_EQ(r.rstd.node, nullptr);
}

TEST(Fused, BatchNormEvalIsAnAffineMap) {
  const Tensor mean = random_tensor("mean", {5}), variance = exp(random_tensor("variance", {5}));
  expect_same(
      [&](const Tensors& t) {
        return batch_norm_eval(t[0], t[1], t[2], t[3], mean, variance, {.groups = 2, .relu = true});
      },
      [&](const Tensors& t) { return relu((t[0] - mean) / sqrt(variance + 1e-5) * t[1] + t[2] + t[3]); },
      {random_tensor("x", {4, 3, 5}), random_tensor("gamma", {5}), random_tensor("beta", {5}),
       random_tensor("add", {4, 3, 5})});
}

/// One gamma is zero: the double backward must not divide by it.
TEST(Fused, BatchNormWithAZeroScale) {
  const Tensor gamma = from_values(cpu(), {3}, {1.5, 0, -0.5});
  expect_same([](const Tensors& t) { return batch_norm(t[0], t[1], t[2], {}).y; },
              [](const Tensors& t) { return composed_norm(t[0], t[1], t[2], 1); },
              {random_tensor("x", {7, 3}), gamma, random_tensor("beta", {3})});
}

TEST(Fused, MaskScaleIsAProduct) {
  expect_same([](const Tensors& t) { return mask_scale(t[0], t[1]); }, [](const Tensors& t) { return mul(t[0], t[1]); },
              {random_tensor("x", {5, 7}), random_tensor("m", {7})});
}

TEST(Fused, L2Normalize) {
  expect_same([](const Tensors& t) { return l2_normalize(t[0]); },
              [](const Tensors& t) { return t[0] / sqrt(sum_cols(square(t[0]))); }, {random_tensor("x", {5, 7})});
}

TEST(Fused, LogSoftmax) {
  expect_same([](const Tensors& t) { return log_softmax(t[0]); },
              [](const Tensors& t) { return t[0] - log(sum_cols(exp(t[0]))); }, {random_tensor("x", {5, 7})});
}

TEST(Fused, CrossEntropy) {
  const Tensor targets = from_indices(cpu(), {3, 0, 6, 3});
  expect_same([&](const Tensors& t) { return cross_entropy(t[0], targets); },
              [&](const Tensors& t) { return neg(mean(take_along_row(log(softmax(t[0])), targets))); },
              {random_tensor("x", {4, 7})});
}

TEST(Fused, InfoNce) {
  // All scores at once, a row's own pushed out of reach.
  const auto composed = [](const Tensor& u) {
    const auto rows = static_cast<std::int32_t>(u.shape[0]);
    std::vector<std::int32_t> own, positives;
    for (std::int32_t i = 0; i < rows; ++i) own.push_back(i), positives.push_back((i + rows / 2) % rows);
    const Tensor self = scatter_along_row(full(cpu(), {rows}, -1e9, DType::f64), from_indices(cpu(), own), rows);
    return take_along_row(log_softmax(matmul(u, u, false, true) / 0.3 + self), from_indices(cpu(), positives));
  };
  for (const Shape& shape : {Shape{6, 4}, Shape{520, 3}})  // one tile of the CPU's, and several
    expect_same([](const Tensors& in) { return info_nce(in[0], 0.3); },
                [&](const Tensors& in) { return composed(in[0]); }, {random_tensor("u", shape)});
  expect_same([](const Tensors& in) { return reshape(info_nce(in[0], 0.3), {12}); },
              [&](const Tensors& in) {
                const Tensor all = reshape(in[0], {12, 4});
                return concat({composed(slice(all, 0, 0, 6)), composed(slice(all, 0, 6, 6))}, 0);
              },
              {random_tensor("u", {2, 6, 4})});
}

TEST(Fused, CrossCorrelation) {
  for (const Shape& shape : {Shape{8, 3}, Shape{8, 9}})
    expect_same(
        [](const Tensors& in) {
          const CrossCorrelationLoss loss = cross_correlation_loss(in[0]);
          return loss.diagonal + 0.3 * loss.off_diagonal;
        },
        [](const Tensors& in) {
          const Tensor c = 0.25 * matmul(slice(in[0], 0, 0, 4), slice(in[0], 0, 4, 4), true);
          const Tensor on = 0.25 * dot_rows(slice(in[0], 0, 0, 4), slice(in[0], 0, 4, 4));
          return sum(square(on - 1.0)) + 0.3 * (dot(c, c) - dot(on, on));
        },
        {random_tensor("z", shape)});
}

/// Both ways to sum the squares of c agree where c is large.
TEST(Fused, CrossCorrelationFormsAgree) {
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{300, 500}, {512, 384}, {1024, 1100}}) {
    const Tensor z = cast(batch_norm(random_tensor("z", {2 * rows, cols}), {}, {}, {}, {.groups = 2}).y, DType::f32);
    const Tensor alpha = full(cpu(), {}, 1.0), beta = full(cpu(), {}, 0.5);
    std::vector<Values> found[2];
    for (const bool gram : {false, true}) {
      const CrossCorrelationShape shape{rows, cols, gram};
      const Tensor diagonal = empty_like(alpha), off_diagonal = empty_like(alpha), c_ii = empty(cpu(), {cols}),
                   gz = empty_like(z), factor = gram ? Tensor{} : empty(cpu(), {cols, cols});
      cpu().cross_correlation_loss(shape, z.array(), diagonal.array(), off_diagonal.array(), c_ii.array(),
                                   factor.array());
      cpu().cross_correlation_loss_backward(shape, alpha.array(), beta.array(), z.array(), c_ii.array(), factor.array(),
                                            gz.array());
      found[gram] = {diagonal.values(), off_diagonal.values(), c_ii.values(), gz.values()};
    }
    for (std::size_t i = 0; i < found[0].size(); ++i) EXPECT_LE(relative_error(found[1][i], found[0][i]), 2e-5) << i;
  }
}

TEST(Fused, LinearIsAMatrixProduct) {
  expect_same([](const Tensors& t) { return linear(t[0], t[1], t[2]); },
              [](const Tensors& t) { return matmul(t[0], transpose(t[1])) + t[2]; },
              {random_tensor("x", {4, 6}), random_tensor("w", {3, 6}), random_tensor("b", {3})});
}

/// Two views in one call, each with its own statistics, equal two calls.
TEST(Fused, StatisticGroupsEqualSeparateCalls) {
  const Tensor x = random_tensor("x", {6, 3, 3, 5}), gamma = random_tensor("gamma", {5}),
               beta = random_tensor("beta", {5});
  const Values joint = batch_norm(x, gamma, beta, {}, {.groups = 2, .relu = true}).y.values();
  Values parts;
  for (std::int64_t view = 0; view < 2; ++view) {
    const Values part = batch_norm(slice(x, 0, 3 * view, 3), gamma, beta, {}, {.relu = true}).y.values();
    parts.insert(parts.end(), part.begin(), part.end());
  }
  EXPECT_LE(relative_error(joint, parts), 1e-14);
}

/// <g, F(x, w)> = <D(g, w), x> = <W(x, g), w>, and F is linear in each argument.
TEST(ConvTriple, IsOneTrilinearForm) {
  struct Geometry {
    Shape x, w;
    ConvOptions conv;
  };
  for (const auto& [x_shape, w_shape, conv] :
       {Geometry{{2, 9, 8, 6}, {4, 3, 3, 6}, {1, 1, 1, 1}}, Geometry{{2, 9, 8, 6}, {8, 3, 3, 3}, {2, 1, 1, 2}},
        Geometry{{1, 11, 9, 5}, {5, 3, 3, 1}, {1, 2, 2, 5}}, Geometry{{3, 7, 7, 4}, {6, 1, 1, 4}, {2, 0, 1, 1}},
        Geometry{{1, 10, 10, 3}, {2, 2, 2, 3}, {3, 0, 1, 1}}}) {
    const Tensor x = random_tensor("x", x_shape), w = random_tensor("w", w_shape);
    const Tensor y = conv2d(x, w, conv), g = random_tensor("g", y.shape);
    const double form = dot(g, y).item();
    EXPECT_NEAR(dot(conv2d_data(g, w, x.shape, conv), x).item(), form, 1e-10 * std::abs(form) + 1e-10);
    EXPECT_NEAR(dot(conv2d_weight(x, g, w.shape, DType::f64, conv), w).item(), form, 1e-10 * std::abs(form) + 1e-10);
    const Tensor x2 = random_tensor("x2", x_shape);
    EXPECT_LE(relative_error(conv2d(x + x2, w, conv).values(), (y + conv2d(x2, w, conv)).values()), 1e-13);
  }
}

/// The rule for a stacked call: F(a, w) + F(x, b) = F([a; x], [w; b]) with channels joined.
TEST(ConvTriple, TwoConvolutionsAreOneOfDoubledDepth) {
  const Tensor x = random_tensor("x", {2, 6, 6, 3}), a = random_tensor("a", {2, 6, 6, 3});
  const Tensor w = random_tensor("w", {4, 3, 3, 3}), b = random_tensor("b", {4, 3, 3, 3});
  const ConvOptions conv{1, 1, 1, 1};
  EXPECT_LE(relative_error(conv2d(concat({a, x}, 3), concat({w, b}, 3), conv).values(),
                           (conv2d(a, w, conv) + conv2d(x, b, conv)).values()),
            1e-14);
}

/// The third derivative along fixed directions, against the central difference of the second.
void expect_third_order(const std::function<Tensor(const Tensor&)>& f, const Shape& shape) {
  const Values start = normal_values("start", 0, shape.size()), u = normal_values("u", 0, shape.size()),
               v = normal_values("v", 0, shape.size());
  const Tensor tu = from_values(cpu(), shape, u);
  auto second = [&](const Tensor& x, bool create) {
    const Tensor first = grad({f(x)}, {x}, {.create = true, .keep = true, .seeds = {}})[0];
    return grad({dot(first, tu)}, {x}, {.create = create, .keep = create, .seeds = {}})[0];
  };
  const Tensor x = leaf(from_values(cpu(), shape, start));
  const Values exact = grad({dot(second(x, true), tu)}, {x})[0].values();
  auto scalar = [&](double t) {
    Values moved = start;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += t * v[i];
    return dot(second(leaf(from_values(cpu(), shape, moved)), false), tu).item();
  };
  const double h = 1e-3;
  const double numeric = (8 * (scalar(h) - scalar(-h)) - (scalar(2 * h) - scalar(-2 * h))) / (12 * h);
  double analytic = 0, size = 0;
  for (std::size_t i = 0; i < v.size(); ++i) analytic += exact[i] * v[i], size += exact[i] * exact[i];
  ASSERT_GT(std::sqrt(size), 1e-6) << "the third order vanishes: nothing is tested";
  EXPECT_NEAR(analytic, numeric, 1e-5 * std::sqrt(size));
}

TEST(ThirdOrder, ElementwiseAndProducts) {
  const Tensor w = random_tensor("w", {4, 5});
  expect_third_order([&](const Tensor& x) { return sum(sigmoid(linear(x, w)) * exp(0.1 * linear(x, w))); }, {3, 5});
}

TEST(ThirdOrder, Softmax) {
  const Tensor targets = from_indices(cpu(), {1, 0, 3});
  expect_third_order([&](const Tensor& x) { return cross_entropy(x, targets); }, {3, 4});
}

TEST(ThirdOrder, L2Normalize) {
  const Tensor c = random_tensor("c", {3, 4});
  expect_third_order([&](const Tensor& x) { return dot(l2_normalize(x), c); }, {3, 4});
}

TEST(ThirdOrder, BatchNorm) {
  const Tensor c = random_tensor("c", {6, 4}), gamma = random_tensor("gamma", {4}), beta = random_tensor("beta", {4});
  for (std::int64_t groups : {1, 2})
    expect_third_order(
        [&](const Tensor& x) { return dot(square(batch_norm(x, gamma, beta, {}, {.groups = groups}).y), c); }, {6, 4});
}

TEST(ThirdOrder, InfoNce) {
  expect_third_order([&](const Tensor& x) { return mean(info_nce(x, 0.7)); }, {6, 3});
  expect_third_order([&](const Tensor& x) { return mean(exp(info_nce(x, 0.7))); }, {2, 4, 3});
}

TEST(ThirdOrder, CrossCorrelation) {
  for (const Shape& shape : {Shape{8, 3}, Shape{4, 5}})
    expect_third_order(
        [](const Tensor& x) {
          const CrossCorrelationLoss loss = cross_correlation_loss(x);
          return loss.diagonal * loss.off_diagonal + loss.off_diagonal;
        },
        shape);
}

TEST(ThirdOrder, Convolution) {
  const Tensor w = random_tensor("w", {3, 3, 3, 2});
  expect_third_order([&](const Tensor& x) { return sum(tanh(conv2d(x, w, {1, 1, 1, 1}))); }, {1, 4, 4, 2});
}

}  // namespace
}  // namespace vergence::test
