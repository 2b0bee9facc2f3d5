// The meta-gradient against two other ways to it: differentiating through the inner step as a whole (unrolled), and
// central differences of the whole bilevel function. A small network with everything that matters on the way:
// convolution, batch norm, ReLU, a mask behind the encoder, a head with batch norm, a contrastive loss.
#include "engine/bilevel.h"

#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/random.h"
#include "tests/support/vectors.h"

namespace vergence {
namespace {

Tensor random_tensor(const Shape& shape, std::uint64_t stream, double scale = 1) {
  Random random(3, Purpose::test, 0, stream);
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (double& value : values) value = scale * random.uniform(-1, 1);
  return from_values(cpu_backend(), shape, values);
}

std::vector<double> joined(const Tensors& tensors) {
  std::vector<double> all;
  for (const Tensor& tensor : tensors) {
    const std::vector<double> values = tensor.values();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

double relative_error(const Tensors& a, const Tensors& b) { return vergence::relative_error(joined(a), joined(b)); }

struct Net {
  bool smooth_head, smooth_encoder;
  Tensor images = random_tensor({12, 6, 6, 2}, 1);  // two views of six images

  Tensors parameters() const {
    return {random_tensor({5, 3, 3, 2}, 10, 0.4), random_tensor({5}, 11) + 1.5, random_tensor({5}, 12, 0.3),
            random_tensor({5, 3, 3, 5}, 13, 0.3), random_tensor({5}, 14) + 1.5, random_tensor({5}, 15, 0.3),
            random_tensor({7, 5}, 16, 0.7),       random_tensor({7}, 17) + 1.5, random_tensor({7}, 18, 0.3),
            random_tensor({4, 7}, 19, 0.7)};
  }
  /// The mask's logits, and a logarithmic temperature: more than one meta parameter.
  Tensors meta() const { return {random_tensor({5}, 20), random_tensor({}, 21, 0.2)}; }
  Tensors history() const {
    Tensors buffers;
    for (const Tensor& parameter : parameters())
      buffers.push_back(random_tensor(parameter.shape, 30 + buffers.size(), 0.2));
    return buffers;
  }

  Tensor block(const Tensor& x, const Tensors& p, std::size_t at) const {
    const Tensor y =
        batch_norm(conv2d(x, p[at], {.padding = 1}), p[at + 1], p[at + 2], {}, {.groups = 2, .relu = !smooth_encoder})
            .y;
    return smooth_encoder ? tanh(y) : y;
  }

  Tensor loss(const Tensors& p, const Tensors& m, double images_scale) const {
    const Tensor x = block(block(affine(images, images_scale, 0.1), p, 0), p, 3);
    const Tensor features = mask_scale(global_average_pool(x), sigmoid(m[0]));
    Tensor hidden = batch_norm(linear(features, p[6]), p[7], p[8], {}, {.groups = 2, .relu = !smooth_head}).y;
    if (smooth_head) hidden = tanh(hidden);
    const Tensor unit = l2_normalize(linear(hidden, p[9]));
    const Tensor first = slice(unit, 0, 0, 6), second = slice(unit, 0, 6, 6);
    const Tensor logits = matmul(first, second, false, true) * exp(m[1]) * full(cpu_backend(), {}, 2, DType::f64);
    return cross_entropy(logits, from_indices(cpu_backend(), {0, 1, 2, 3, 4, 5}));
  }

  BilevelLoss inner() const {
    return [*this](const Tensors& p, const Tensors& m) { return loss(p, m, 1); };
  }
  BilevelLoss outer() const {
    return [*this](const Tensors& p, const Tensors& m) { return loss(p, m, 0.7); };
  }
};

constexpr double inner_rate = 0.3, inner_momentum = 0.9, inner_decay = 0.01;

Tensors leaves(const Tensors& values) {
  Tensors result;
  for (const Tensor& value : values) result.push_back(leaf(value));
  return result;
}

Tensor rate(double value) { return full(cpu_backend(), {1}, value, DType::f64); }

/// O(theta'(m), m), recorded all the way.
Tensor unrolled(const Net& net, const Tensors& m) {
  const Tensors theta = leaves(net.parameters()), history = net.history();
  const Tensors gradient = grad({net.inner()(theta, m)}, theta, {.create = true});
  Tensors moved;
  for (std::size_t i = 0; i < theta.size(); ++i)
    moved.push_back(theta[i] - inner_rate * (inner_momentum * history[i] + inner_decay * theta[i] + gradient[i]));
  return net.outer()(moved, m);
}

MetaGradient solve(const Net& net, const BilevelOptions& options) {
  const InnerStep step{
      .lr = rate(inner_rate), .momentum = inner_momentum, .weight_decay = inner_decay, .history = net.history()};
  return meta_gradient(net.inner(), net.outer(), net.parameters(), net.meta(), step, options);
}

TEST(Bilevel, ExactEqualsUnrolled) {
  for (bool smooth : {false, true}) {
    const Net net{smooth, false};
    const MetaGradient result = solve(net, {});
    const Tensors m = leaves(net.meta());
    const Tensor loss = unrolled(net, m);
    EXPECT_NEAR(result.outer_loss.item(), loss.item(), 1e-12);
    EXPECT_NEAR(result.inner_loss.item(), net.inner()(net.parameters(), net.meta()).item(), 1e-12);
    const Tensors reference = grad({loss}, m);
    EXPECT_LT(relative_error(result.gradient, reference), 1e-8);
    EXPECT_GT(relative_error(result.direct, reference), 1e-3) << "the second-order part must matter here";
    for (const Tensor& tensor : result.gradient) EXPECT_EQ(tensor.node, nullptr);
  }
}

TEST(Bilevel, ExactEqualsDifferencesOfTheWholeFunction) {
  const Net net{true, true};
  const Tensors gradient = solve(net, {}).gradient;
  const Tensors direction{random_tensor({5}, 50), random_tensor({}, 51)};
  double along = 0;
  for (std::size_t i = 0; i < direction.size(); ++i) along += dot(gradient[i], direction[i]).item();
  auto outer_at = [&](double distance) {
    Tensors m = net.meta();
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = m[i] + distance * direction[i];
    return unrolled(net, leaves(m)).item();
  };
  const double h = 1e-4;
  const double central = (8 * (outer_at(h) - outer_at(-h)) - (outer_at(2 * h) - outer_at(-2 * h))) / (12 * h);
  EXPECT_NEAR(along, central, 1e-8 * std::abs(central) + 1e-10);
}

TEST(Bilevel, FiniteDifferenceApproachesExactWhereTheNetworkIsSmooth) {
  const Net net{true, true};
  const Tensors exact = solve(net, {}).gradient;
  auto error = [&](double radius) {
    const BilevelOptions options{.form = SecondOrder::finite_difference, .radius = radius, .compare = false};
    return relative_error(solve(net, options).gradient, exact);
  };
  const double coarse = error(0.1), fine = error(0.01);
  EXPECT_LT(fine, 1e-2);
  EXPECT_NEAR(coarse / fine, 100, 30) << "a central difference is of second order";
  EXPECT_LT(error(1e-4), 1e-6);
}

TEST(Bilevel, FiniteDifferenceIsThePublishedFormula) {
  const Net net{false, false};
  const MetaGradient result = solve(net, {.form = SecondOrder::finite_difference});
  const Tensors theta = net.parameters(), moved = leaves(result.parameters);
  const Tensors v = grad({net.outer()(moved, net.meta())}, moved);
  const double r = 0.01 / length(joined(v));
  auto gradient_at = [&](double distance) {
    Tensors shifted;
    for (std::size_t i = 0; i < theta.size(); ++i) shifted.push_back(theta[i] + distance * v[i]);
    const Tensors m = leaves(net.meta());
    return grad({net.inner()(shifted, m)}, m);
  };
  const Tensors up = gradient_at(r), down = gradient_at(-r);
  Tensors expected;
  for (std::size_t i = 0; i < up.size(); ++i)
    expected.push_back(result.direct[i] - inner_rate / (2 * r) * (up[i] - down[i]));
  EXPECT_LT(relative_error(result.gradient, expected), 1e-10);
}

TEST(Bilevel, NoneIsTheDirectPart) {
  const Net net{false, false};
  const MetaGradient first_order = solve(net, {.form = SecondOrder::none}), exact = solve(net, {});
  EXPECT_EQ(joined(first_order.gradient), joined(exact.direct));
  const Tensors m = leaves(net.meta());
  EXPECT_LT(relative_error(exact.direct, grad({net.outer()(exact.parameters, m)}, m)), 1e-12);
}

TEST(Bilevel, ComparesTheEstimators) {
  const Net net{true, true};
  const MetaGradient result = solve(net, {.form = SecondOrder::exact, .radius = 1e-3, .compare = true});
  ASSERT_TRUE(result.comparison.has_value());
  EXPECT_GT(result.comparison->cosine.item(), 0.9999);
  const double exact = result.comparison->exact_norm.item();
  EXPECT_NEAR(result.comparison->finite_difference_norm.item() / exact, 1, 1e-3);
  Tensors second_order;
  for (std::size_t i = 0; i < result.gradient.size(); ++i)
    second_order.push_back((result.direct[i] - result.gradient[i]) / inner_rate);
  EXPECT_NEAR(length(joined(second_order)), exact, 1e-10 * exact);
  EXPECT_FALSE(solve(net, {}).comparison.has_value());
}

TEST(Bilevel, ParametersThatTheInnerLossDoesNotUse) {
  const Net net{false, false};
  Tensors theta = net.parameters();
  theta.push_back(random_tensor({3}, 60));
  const BilevelLoss inner = net.inner();
  const BilevelLoss outer = [&](const Tensors& p, const Tensors& m) {
    return net.loss(p, m, 0.7) + sum(square(p[10]));
  };
  const MetaGradient result = meta_gradient(inner, outer, theta, net.meta(),
                                            {.lr = rate(inner_rate), .momentum = 0, .weight_decay = inner_decay});
  const MetaGradient without = meta_gradient(net.inner(), net.outer(), net.parameters(), net.meta(),
                                             {.lr = rate(inner_rate), .momentum = 0, .weight_decay = inner_decay});
  EXPECT_LT(relative_error(result.gradient, without.gradient), 1e-12);
  EXPECT_LT(relative_error({result.parameters[10]}, {(1 - inner_rate * inner_decay) * theta[10]}), 1e-14);
}

TEST(Bilevel, RefusesBadInput) {
  const Net net{false, false};
  EXPECT_THROW(meta_gradient(net.inner(), net.outer(), net.parameters(), {}, {.lr = rate(1)}), Error);
  EXPECT_THROW(
      meta_gradient(net.inner(), net.outer(), net.parameters(), net.meta(), {.lr = rate(1), .history = net.meta()}),
      Error);
  EXPECT_THROW(solve(net, {.radius = 0}), UsageError);
}

}  // namespace
}  // namespace vergence
