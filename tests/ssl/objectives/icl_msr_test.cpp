// ICL-MSR: the golden numbers of its specification; strata streamed one by one against all at once, to the second
// order; the objective's meta-gradient against differentiation through the whole virtual step; what must not change
// anything.
#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "engine/bilevel.h"
#include "engine/graph.h"
#include "engine/ops/loss.h"
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objectives/icl_msr/regularizer.h"
#include "ssl/objectives/icl_msr/strata.h"
#include "tests/support/small_models.h"
#include "tests/support/vectors.h"

namespace vergence {
namespace {

std::vector<double> joined(const Tensors& tensors) {
  std::vector<double> all;
  for (const Tensor& tensor : tensors)
    for (const double value : tensor.values()) all.push_back(value);
  return all;
}

Tensors leaves(const Tensors& values) {
  Tensors result;
  for (const Tensor& value : values) result.push_back(leaf(value));
  return result;
}

Tensor row(const Tensor& matrix, std::int64_t t) { return reshape(slice(matrix, 0, t, 1), {matrix.cols()}); }

// ---- the golden fixture: a tiny network whose weights are given by formulas

Tensor formula(const Shape& shape, double factor, double (*function)(double), double offset, double step) {
  std::vector<double> values;
  for (std::int64_t k = 0; k < shape.size(); ++k)
    values.push_back(factor * function(offset + step * static_cast<double>(k)));
  return from_values(cpu_backend(), shape, values);
}

Tensor constant(const Shape& shape, double value) { return full(cpu_backend(), shape, value, DType::f64); }

constexpr double temperature = 0.5, alpha = 0.05, gamma_weight = 0.1;

struct Golden {
  Tensors theta{formula({4, 3}, 1, std::cos, 0.5, 0.61),
                constant({4}, 1),
                constant({4}, 0.3),
                formula({5, 4}, 0.8, std::sin, 0.2, 0.83),
                constant({5}, 0),
                constant({5}, 1),
                constant({5}, 0.2),
                formula({3, 5}, 0.7, std::cos, 1.1, 0.47),
                constant({3}, 0),
                constant({3}, 1),
                constant({3}, 0)};
  Tensor phi = from_values(cpu_backend(), {2, 4}, {0.4, -0.3, 0.2, -0.1, -0.5, 0.6, -0.2, 0.3});
  Tensor views = concat({formula({4, 3}, 1, std::sin, 1.0, 0.37), formula({4, 3}, 1, std::sin, 3.1, 0.37)}, 0);
  bool streaming = true;

  Tensor features(const Tensors& p) const {
    return batch_norm(linear(views, p[0]), p[1], p[2], {}, {.groups = 2, .relu = true}).y;
  }
  /// Weights of the head in the order of theta, from `p`.
  static Tensor head(const Tensor& features, const Tensor* p) {
    const Tensor hidden = batch_norm(linear(features, p[0], p[1]), p[2], p[3], {}, {.relu = true}).y;
    return batch_norm(linear(hidden, p[4], p[5]), p[6], p[7], {}).y;
  }
  Tensor base(const Tensors& p) const { return nt_xent(head(features(p), &p[3]), temperature); }
  Tensor stratified(const Tensors& p, const Tensor& a) const {
    const Tensor h = features(p);
    if (!streaming) {
      Tensors all;
      for (std::int64_t t = 0; t < a.rows(); ++t)
        all.push_back(reshape(head(mask_scale(h, row(a, t)), &p[3]), {1, 8, 3}));
      return stratified_nt_xent(concat(all, 0), temperature);
    }
    Tensors shared{h};
    shared.insert(shared.end(), p.begin() + 3, p.end());
    const Stratum stratum = [](const Tensors& given, const Tensor& weights) {
      return info_nce(l2_normalize(head(mask_scale(given[0], weights), &given[1])), temperature);
    };
    return streamed_loss(stratum, shared, a);
  }
  BilevelLoss inner() const {
    return [this](const Tensors& p, const Tensors& m) { return base(p) + stratified(p, sigmoid(m[0])); };
  }
  BilevelLoss outer() const {
    return [this](const Tensors& p, const Tensors& m) { return base(p) + gamma_weight * uniformity(sigmoid(m[0])); };
  }
  MetaGradient solve(const BilevelOptions& options) const {
    return meta_gradient(inner(), outer(), theta, {phi}, {.lr = full(cpu_backend(), {1}, alpha, phi.dtype)}, options);
  }
};

void expect_digits(const std::vector<double>& values, const std::vector<double>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 6e-11) << "number " << i;
}

const std::vector<double> golden_gradient{0.2740933410,  0.0742024217,  -0.1524950609, -0.2483930838,
                                          -0.1100301720, -0.1627772548, 0.4082514309,  -0.0452498625};

TEST(IclMsrGolden, Losses) {
  for (const bool streaming : {true, false}) {
    Golden golden;
    golden.streaming = streaming;
    const Tensor phi = leaf(golden.phi), a = sigmoid(phi);
    expect_digits({golden.base(golden.theta).item(), golden.stratified(golden.theta, a).item(), uniformity(a).item()},
                  {3.6036856671, 2.7049535335, -0.2167801025});
    expect_digits(grad({uniformity(a)}, {phi})[0].values(), {-0.1737275942, 0.2160526104, -0.0695228463, 0.1108906355,
                                                             0.2138658389, -0.1510427771, 0.1181799629, -0.0562837644});
    const Tensors theta = leaves(golden.theta);
    EXPECT_NEAR(length(joined(grad({golden.inner()(theta, {golden.phi})}, theta))), 10.8100064412, 6e-11);
  }
}

TEST(IclMsrGolden, MetaGradient) {
  for (const bool streaming : {true, false}) {
    Golden golden;
    golden.streaming = streaming;
    const MetaGradient meta = golden.solve({});
    expect_digits({golden.base(meta.parameters).item(), meta.outer_loss.item()}, {2.4796141686, 2.4579361583});
    expect_digits(meta.gradient[0].values(), golden_gradient);
    // Without the second-order part only the uniformity term is left.
    EXPECT_GT(relative_error(meta.direct[0].values(), golden_gradient), 0.9);
  }
}

TEST(IclMsrGolden, MetaGradientInSinglePrecision) {
  for (const bool streaming : {true, false}) {
    Golden golden;
    golden.streaming = streaming;
    for (Tensor& tensor : golden.theta) tensor = cast(tensor, DType::f32);
    golden.phi = cast(golden.phi, DType::f32), golden.views = cast(golden.views, DType::f32);
    EXPECT_LT(relative_error(golden.solve({}).gradient[0].values(), golden_gradient), 1e-2);
  }
}

/// One ReLU switches within the distance of 0.01: there the finite difference is far off.
TEST(IclMsrGolden, FiniteDifference) {
  for (const bool streaming : {true, false}) {
    Golden golden;
    golden.streaming = streaming;
    const auto gradient = [&](double radius) {
      return golden.solve({.form = SecondOrder::finite_difference, .radius = radius}).gradient[0].values();
    };
    EXPECT_NEAR(gradient(0.01)[4], -0.5780067159, 1e-9);
    const std::vector<double> close = gradient(1e-4);
    for (std::size_t i = 0; i < close.size(); ++i) EXPECT_NEAR(close[i], golden_gradient[i], 5e-6) << i;
  }
}

/// d J / d phi by central differences at both levels.
TEST(IclMsrGolden, MetaGradientIsTheDerivativeOfTheOuterLoss) {
  const Golden golden;
  const auto outer_at = [&](std::size_t entry, double distance) {
    std::vector<double> values = golden.phi.values();
    values[entry] += distance;
    const Tensor phi = from_values(cpu_backend(), {2, 4}, values);
    const Tensors theta = leaves(golden.theta), gradient = grad({golden.inner()(theta, {phi})}, theta);
    Tensors moved;
    for (std::size_t i = 0; i < theta.size(); ++i) moved.push_back(theta[i].detached() - alpha * gradient[i]);
    return golden.outer()(moved, {phi}).item();
  };
  const double step = 1e-6;
  for (std::size_t entry = 0; entry < 8; ++entry)
    EXPECT_NEAR((outer_at(entry, step) - outer_at(entry, -step)) / (2 * step), golden_gradient[entry], 1e-6) << entry;
}

TEST(Uniformity, IsZeroForEqualStrataWhateverTheirLength) {
  const Tensor a = random_tensor({1, 5}, 3) + 2.0;
  EXPECT_NEAR(uniformity(concat({a, 3 * a, a}, 0)).item(), 0, 1e-14);
  EXPECT_THROW(uniformity(a), Error);
}

TEST(Spread, IsTheMeanDeviationOverStrata) {
  EXPECT_NEAR(spread(from_values(cpu_backend(), {2, 2}, {0.2, 0.5, 0.6, 0.5})).item(), 0.1, 1e-15);
}

// ---- strata one by one against all at once

/// A head with a joint batch norm over features that a stratum scales.
struct Heads {
  bool likelihoods;
  Tensors inputs{random_tensor({10, 6}, 1) + 0.7, random_tensor({7, 6}, 2), random_tensor({7}, 3) + 1.5,
                 random_tensor({7}, 4), random_tensor({4, 7}, 5)};
  Tensor weights = sigmoid(random_tensor({3, 6}, 6)), scale = full(cpu_backend(), {}, 1.7, DType::f64);

  Tensor of_stratum(const Tensors& x, const Tensor& a) const {
    const Tensor hidden = batch_norm(linear(mask_scale(x[0], a), x[1]), x[2], x[3], {}, {.relu = true}).y;
    const Tensor z = linear(hidden, x[4]);
    return likelihoods ? info_nce(l2_normalize(z), 0.5) : barlow_twins(z);
  }
  Tensor loss(const Tensors& x, const Tensor& a, bool streaming) const {
    if (streaming) {
      const Heads copy = *this;
      return streamed_loss([copy](const Tensors& s, const Tensor& w) { return copy.of_stratum(s, w); }, x, a);
    }
    Tensors results;
    for (std::int64_t t = 0; t < a.rows(); ++t) {
      const Tensor y = of_stratum(x, row(a, t));
      results.push_back(reshape(y, likelihoods ? Shape{1, y.size()} : Shape{1}));
    }
    return likelihoods ? averaged_likelihood_loss(concat(results, 0)) : mean(concat(results, 0));
  }

  struct Derivatives {
    double loss;
    std::vector<double> first, second;  // second: of <direction, first>, by all inputs, the weights and the scale
  };
  Derivatives derivatives(bool streaming) const {
    Tensors x = leaves(inputs), wrt = x;
    wrt.push_back(leaf(weights));
    const Tensor factor = leaf(scale);
    const Tensor value = loss(x, wrt.back(), streaming) * factor;
    const Tensors first = grad({value}, wrt, {.create = true});
    Tensors directions;
    for (const Tensor& gradient : first) directions.push_back(random_tensor(gradient.shape, 20 + directions.size()));
    wrt.push_back(factor);
    return {value.item(), joined(first), joined(grad(first, wrt, {.seeds = directions}))};
  }
};

TEST(StreamedLoss, EqualsAllStrataAtOnceToTheSecondOrder) {
  for (const bool likelihoods : {true, false}) {
    const Heads heads{likelihoods};
    const Heads::Derivatives streamed = heads.derivatives(true), whole = heads.derivatives(false);
    EXPECT_NEAR(streamed.loss, whole.loss, 1e-13);
    EXPECT_LT(relative_error(streamed.first, whole.first), 1e-12);
    EXPECT_LT(relative_error(streamed.second, whole.second), 1e-12);
  }
}

TEST(StreamedLoss, GivesWhatIsAskedForAlone) {
  const Heads heads{true};
  const Heads::Derivatives all = heads.derivatives(true);
  const Tensor weights = leaf(heads.weights);
  const std::vector<double> alone =
      grad({heads.loss(heads.inputs, weights, true) * heads.scale}, {weights})[0].values();
  const std::vector<double> expected(all.first.end() - heads.weights.size(), all.first.end());
  EXPECT_LT(relative_error(alone, expected), 1e-13);
}

TEST(StreamedLoss, RefusesAThirdDerivative) {
  const Heads heads{true};
  const Tensor weights = leaf(heads.weights);
  const Tensor first = grad({heads.loss(heads.inputs, weights, true)}, {weights}, {.create = true})[0];
  EXPECT_THROW(grad({dot(first, first)}, {weights}, {.create = true}), Error);
}

/// Bytes at the peak of the gradient of the loss, and of its mixed derivative, of `strata` strata above those of one.
std::int64_t peak_bytes(std::int64_t strata, bool streaming, bool second) {
  Heads heads{true};
  heads.inputs[0] = random_tensor({128, 6}, 1), heads.inputs[1] = random_tensor({256, 6}, 2);
  heads.inputs[2] = random_tensor({256}, 3) + 1.5, heads.inputs[3] = random_tensor({256}, 4);
  heads.inputs[4] = random_tensor({16, 256}, 5), heads.weights = sigmoid(random_tensor({strata, 6}, 6));
  const Tensors x = leaves(heads.inputs);
  const Tensor weights = leaf(heads.weights);
  cpu_backend().reset_peak();
  const std::int64_t before = cpu_backend().memory().used;
  const Tensors first = grad({heads.loss(x, weights, streaming)}, x, {.create = second});
  if (second) grad(first, {weights}, {.seeds = heads.inputs});
  return cpu_backend().memory().peak - before;
}

TEST(StreamedLoss, MemoryDoesNotGrowWithTheStrata) {
  for (const bool second : {false, true}) {
    const auto growth = [&](bool streaming) {
      return static_cast<double>(peak_bytes(16, streaming, second)) /
             static_cast<double>(peak_bytes(2, streaming, second));
    };
    EXPECT_LT(growth(true), 1.1) << second;
    EXPECT_GT(growth(false), 3) << second << ": or this test shows nothing";
  }
}

// ---- the regularizer

/// The images of the batch that give the strata, by the weights that come out.
std::set<std::size_t> images_drawn(std::uint64_t seed, std::int64_t step) {
  const Tensor features = random_tensor({12, 3}, 7);
  const auto weights = [&](std::int64_t strata) {
    SemanticRegularizer regularizer({.strata = strata, .dim = 3, .hidden = 4}, {cpu_backend(), 1, DType::f64});
    regularizer.prepare(seed, step, 12);
    return regularizer(features, [&](const Tensor&) { return Tensor(features); }, {.activations = DType::f64}).values();
  };
  SemanticRegularizer in_order({.strata = 12, .dim = 3, .hidden = 4}, {cpu_backend(), 1, DType::f64});
  const std::vector<double> all =
      in_order(features, [&](const Tensor&) { return Tensor(features); }, {.activations = DType::f64}).values();
  const std::vector<double> drawn = weights(5);
  std::set<std::size_t> found;
  for (std::size_t t = 0; t < 5; ++t)
    for (std::size_t i = 0; i < 12; ++i) {
      // Products of 5 and of 12 rows may round differently; rows of two images differ by far more.
      double apart = 0;
      for (std::size_t c = 0; c < 3; ++c) apart = std::max(apart, std::abs(drawn[3 * t + c] - all[3 * i + c]));
      if (apart < 1e-9) found.insert(i);
    }
  return found;
}

TEST(SemanticRegularizer, DrawsImagesBySeedAndStep) {
  std::set<std::set<std::size_t>> draws;
  std::set<std::size_t> ever;
  for (std::int64_t step = 0; step < 20; ++step) {
    const std::set<std::size_t> drawn = images_drawn(3, step);
    EXPECT_EQ(drawn.size(), 5u) << "none twice";
    EXPECT_EQ(drawn, images_drawn(3, step));
    draws.insert(drawn);
    ever.insert(drawn.begin(), drawn.end());
  }
  EXPECT_GT(draws.size(), 15u);
  EXPECT_EQ(ever.size(), 12u);
  EXPECT_NE(images_drawn(3, 0), images_drawn(4, 0));
}

TEST(SemanticRegularizer, BeginsNearOneHalf) {
  for (const RegularizerBuild build : {RegularizerBuild::table, RegularizerBuild::features, RegularizerBuild::images}) {
    SemanticRegularizer regularizer({.build = build, .strata = 4, .dim = 24}, {cpu_backend(), 1, DType::f64});
    const Tensor plain = random_tensor({8, 16, 16, 3}, 1), features = random_tensor({8, 24}, 2);
    for (const double value :
         regularizer(plain, [&](const Tensor&) { return Tensor(features); }, {.activations = DType::f64}).values())
      EXPECT_NEAR(value, 0.5, 0.12);
  }
}

}  // namespace
}  // namespace vergence
