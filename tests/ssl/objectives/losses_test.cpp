// Losses against double loops that follow the papers' formulas word by word, and their gradients against central
// differences; then the objectives' losses against these loops on heads written out. All in f64; f32 against f64 at the
// end.
#include "ssl/losses.h"

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <vector>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/random.h"
#include "tests/support/naive_vicreg.h"
#include "tests/support/objective_checks.h"
#include "tests/support/small_objectives.h"

namespace vergence {
namespace {

using Matrix = std::vector<double>;

Matrix random_matrix(std::int64_t size, std::uint64_t stream) {
  Random random(7, Purpose::test, 0, stream);
  Matrix values(static_cast<std::size_t>(size));
  for (double& v : values) v = random.uniform(-1, 1) + 0.3;
  return values;
}

double cosine(const double* a, const double* b, int d) {
  double ab = 0, aa = 0, bb = 0;
  for (int k = 0; k < d; ++k) ab += a[k] * b[k], aa += a[k] * a[k], bb += b[k] * b[k];
  return ab / std::sqrt(aa * bb);
}

double naive_nt_xent(const Matrix& z, int n, int d, double temperature) {
  double total = 0;
  for (int i = 0; i < 2 * n; ++i) {
    const int other = (i + n) % (2 * n);
    double denominator = 0;
    for (int j = 0; j < 2 * n; ++j)
      if (j != i) denominator += std::exp(cosine(&z[i * d], &z[j * d], d) / temperature);
    total -= cosine(&z[i * d], &z[other * d], d) / temperature - std::log(denominator);
  }
  return total / (2 * n);
}

Matrix naive_standardize(const double* z, int n, int d, const BarlowTwinsLoss& options) {
  Matrix out(static_cast<std::size_t>(n * d));
  for (int k = 0; k < d; ++k) {
    double mean = 0, variance = 0;
    for (int i = 0; i < n; ++i) mean += z[i * d + k] / n;
    for (int i = 0; i < n; ++i) variance += (z[i * d + k] - mean) * (z[i * d + k] - mean);
    const double divisor =
        options.unbiased ? std::sqrt(variance / (n - 1)) + options.epsilon : std::sqrt(variance / n + options.epsilon);
    for (int i = 0; i < n; ++i) out[i * d + k] = (z[i * d + k] - mean) / divisor;
  }
  return out;
}

double naive_barlow_twins(const Matrix& z, int n, int d, const BarlowTwinsLoss& options) {
  const Matrix a = naive_standardize(z.data(), n, d, options), b = naive_standardize(&z[n * d], n, d, options);
  double total = 0;
  for (int p = 0; p < d; ++p)
    for (int q = 0; q < d; ++q) {
      double c = 0;
      for (int i = 0; i < n; ++i) c += a[i * d + p] * b[i * d + q] / n;
      total += p == q ? (c - 1) * (c - 1) : options.lambda * c * c;
    }
  return options.scale * total;
}

double naive_byol(const Matrix& p, const Matrix& z, int n, int d) {
  double total = 0;
  for (int i = 0; i < n; ++i)
    total += 4 - 2 * cosine(&p[i * d], &z[(n + i) * d], d) - 2 * cosine(&p[(n + i) * d], &z[i * d], d);
  return total / n;
}

using Loss = std::function<Tensor(const Tensor&)>;
using Naive = std::function<double(const Matrix&)>;

/// The value, and the gradient along a few single coordinates and one random direction.
void expect_matches(const Loss& loss, const Naive& naive, int n, int d) {
  const Matrix z = random_matrix(2 * n * d, static_cast<std::uint64_t>(100 * n + d));
  const Tensor x = leaf(from_values(cpu_backend(), {2 * n, d}, z));
  const Tensor value = loss(x);
  ASSERT_EQ(value.shape.rank(), 0);
  EXPECT_NEAR(value.item(), naive(z), 1e-11 * (1 + std::abs(naive(z))));
  const Matrix gradient = grad({value}, {x})[0].values();
  const Matrix direction = random_matrix(2 * n * d, 99);
  const double step = 1e-5;
  double along = 0, size = 0;
  Matrix plus = z, minus = z;
  for (std::size_t i = 0; i < z.size(); ++i) {
    along += gradient[i] * direction[i], size += std::abs(gradient[i] * direction[i]);
    plus[i] += step * direction[i], minus[i] -= step * direction[i];
  }
  EXPECT_GT(size, 1e-6) << "the gradient must not vanish, or this test shows nothing";
  EXPECT_NEAR((naive(plus) - naive(minus)) / (2 * step), along, 1e-7 * (1 + size));
  for (const std::size_t i : {std::size_t{0}, z.size() / 2, z.size() - 1}) {
    plus = minus = z;
    plus[i] += step, minus[i] -= step;
    EXPECT_NEAR((naive(plus) - naive(minus)) / (2 * step), gradient[i], 1e-7 * (1 + std::abs(gradient[i])));
  }
}

TEST(NtXent, MatchesTheFormulaAndItsGradient) {
  for (const double temperature : {0.07, 0.2, 0.5})
    for (const auto& [n, d] : {std::pair{2, 5}, {3, 4}, {5, 17}, {33, 9}})
      expect_matches([=](const Tensor& z) { return nt_xent(z, temperature); },
                     [=, n = n, d = d](const Matrix& z) { return naive_nt_xent(z, n, d, temperature); }, n, d);
}

TEST(NtXent, IsLogOfCandidatesWhereAllAreAlike) {
  const Tensor z = full(cpu_backend(), {12, 3}, 0.5, DType::f64);
  EXPECT_NEAR(nt_xent(z, 0.1).item(), std::log(11.0), 1e-12);
}

/// -log of the likelihood averaged over the strata, mean over anchors; z is one stratum of 2n rows after the other.
double naive_stratified(const Matrix& z, int strata, int n, int d, double temperature) {
  double total = 0;
  for (int i = 0; i < 2 * n; ++i) {
    double likelihood = 0;
    for (int t = 0; t < strata; ++t) {
      const double* rows = &z[static_cast<std::size_t>(t * 2 * n * d)];
      const auto weight = [&](int j) { return std::exp(cosine(rows + i * d, rows + j * d, d) / temperature); };
      double sum = 0;
      for (int j = 0; j < 2 * n; ++j) sum += j == i ? 0 : weight(j);
      likelihood += weight((i + n) % (2 * n)) / sum / strata;
    }
    total -= std::log(likelihood);
  }
  return total / (2 * n);
}

TEST(StratifiedNtXent, MatchesTheFormulaAndItsGradient) {
  for (const double temperature : {0.07, 0.5})
    for (const auto& [strata, n, d] : {std::tuple{1, 3, 4}, {2, 2, 5}, {5, 4, 7}})
      expect_matches(
          [=, strata = strata, n = n, d = d](const Tensor& z) {
            return stratified_nt_xent(reshape(z, {strata, 2 * n, d}), temperature);
          },
          [=, strata = strata, n = n, d = d](const Matrix& z) {
            return naive_stratified(z, strata, n, d, temperature);
          },
          strata * n, d);
}

TEST(StratifiedNtXent, OfOneStratumIsNtXent) {
  const Tensor z = from_values(cpu_backend(), {10, 6}, random_matrix(60, 17));
  EXPECT_NEAR(stratified_nt_xent(reshape(z, {1, 10, 6}), 0.2).item(), nt_xent(z, 0.2).item(), 1e-13);
}

TEST(BarlowTwins, MatchesTheFormulaAndItsGradient) {
  for (const BarlowTwinsLoss& options :
       {BarlowTwinsLoss{}, BarlowTwinsLoss{.lambda = 0.0051, .scale = 0.1}, BarlowTwinsLoss{.unbiased = true},
        BarlowTwinsLoss{.lambda = 0.5, .unbiased = true, .epsilon = 0}})
    for (const auto& [n, d] : {std::pair{4, 9}, {9, 4}, {6, 6}, {7, 40}, {5, 7}})  // both ways to form |C|^2
      expect_matches([=](const Tensor& z) { return barlow_twins(z, options); },
                     [=, n = n, d = d](const Matrix& z) { return naive_barlow_twins(z, n, d, options); }, n, d);
}

TEST(BarlowTwins, IsZeroForIdenticalUncorrelatedViews) {
  // Two orthogonal columns of mean 0 in both views: C is the identity (epsilon aside).
  const Matrix half = {1, 1, 1, -1, -1, 1, -1, -1};
  Matrix z = half;
  z.insert(z.end(), half.begin(), half.end());
  const BarlowTwinsLoss options{.lambda = 1, .epsilon = 0};
  EXPECT_NEAR(barlow_twins(from_values(cpu_backend(), {8, 2}, z), options).item(), 0, 1e-12);
}

TEST(BarlowTwins, AConstantColumnGivesAFiniteGradient) {
  for (const bool unbiased : {false, true}) {
    Matrix z = random_matrix(2 * 4 * 3, 5);
    for (std::size_t row = 0; row < 8; ++row) z[row * 3] = 0.25;
    const Tensor x = leaf(from_values(cpu_backend(), {8, 3}, z));
    const Tensor loss = barlow_twins(x, {.unbiased = unbiased});
    EXPECT_TRUE(std::isfinite(loss.item()));
    for (const double g : grad({loss}, {x})[0].values()) EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(Byol, MatchesTheFormulaAndItsGradient) {
  for (const auto& [n, d] : {std::pair{1, 3}, {4, 7}, {9, 20}}) {
    const Matrix target = random_matrix(2 * n * d, 1234);
    const Tensor t = leaf(from_values(cpu_backend(), {2 * n, d}, target));
    expect_matches([&](const Tensor& p) { return byol(p, t); },
                   [&, n = n, d = d](const Matrix& p) { return naive_byol(p, target, n, d); }, n, d);
  }
}

TEST(Byol, SendsNoGradientToTheTarget) {
  const Tensor p = leaf(from_values(cpu_backend(), {4, 3}, random_matrix(12, 1)));
  const Tensor t = leaf(from_values(cpu_backend(), {4, 3}, random_matrix(12, 2)));
  for (const double g : grad({byol(p, t)}, {t})[0].values()) EXPECT_EQ(g, 0);
}

TEST(Losses, SecondOrderMatchesDifferencesOfTheGradient) {
  const int n = 6, d = 7;
  const Matrix z = random_matrix(2 * n * d, 3), v = random_matrix(2 * n * d, 4);
  const std::vector<Loss> losses = {[](const Tensor& x) { return nt_xent(x, 0.3); },
                                    [](const Tensor& x) {
                                      return stratified_nt_xent(reshape(x, {3, 4, 7}), 0.3);
                                    },
                                    [](const Tensor& x) { return barlow_twins(x, {.lambda = 0.1}); },
                                    [](const Tensor& x) { return barlow_twins(x, {.lambda = 0.1, .unbiased = true}); }};
  for (const Loss& loss : losses) {
    const auto gradient_at = [&](double step) {
      Matrix moved = z;
      for (std::size_t i = 0; i < z.size(); ++i) moved[i] += step * v[i];
      const Tensor x = leaf(from_values(cpu_backend(), {2 * n, d}, moved));
      return grad({loss(x)}, {x})[0].values();
    };
    const Tensor x = leaf(from_values(cpu_backend(), {2 * n, d}, z));
    const Tensor g = grad({loss(x)}, {x}, {.create = true})[0];
    const Matrix product = grad({dot(g, from_values(cpu_backend(), {2 * n, d}, v))}, {x})[0].values();
    const double step = 1e-5;
    const Matrix plus = gradient_at(step), minus = gradient_at(-step);
    double error = 0, size = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      error += std::pow((plus[i] - minus[i]) / (2 * step) - product[i], 2), size += product[i] * product[i];
    }
    EXPECT_LT(std::sqrt(error / size), 1e-6);
  }
}

// ---- the objectives: with their options, and heads read by the names of their parameters

/// x [rows, in] times the transpose of weight [out, in], plus bias [out].
Matrix naive_linear(const Matrix& x, const Matrix& weight, const Matrix& bias) {
  const std::size_t out = bias.size(), in = weight.size() / out, rows = x.size() / in;
  Matrix y(rows * out);
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t o = 0; o < out; ++o) {
      y[i * out + o] = bias[o];
      for (std::size_t k = 0; k < in; ++k) y[i * out + o] += x[i * in + k] * weight[o * in + k];
    }
  return y;
}

/// A batch norm of each view by itself: the halves of the rows.
Matrix naive_norm(const Matrix& x, const Matrix& scale, const Matrix& shift) {
  const std::size_t d = scale.size(), n = x.size() / d / 2;
  Matrix y(x.size());
  for (std::size_t first : {std::size_t{0}, n})
    for (std::size_t k = 0; k < d; ++k) {
      double mean = 0, variance = 0;
      const auto at = [&](std::size_t i) { return x[(first + i) * d + k]; };
      for (std::size_t i = 0; i < n; ++i) mean += at(i) / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i) variance += (at(i) - mean) * (at(i) - mean) / static_cast<double>(n);
      for (std::size_t i = 0; i < n; ++i)
        y[(first + i) * d + k] = (at(i) - mean) / std::sqrt(variance + 1e-5) * scale[k] + shift[k];
    }
  return y;
}

using Layers = std::vector<std::string>;

/// The head called `name` on both views' features. A layer's parameters have its place in `layers` as their number.
Matrix naive_head(const ParameterSet& set, const std::string& name, const Layers& layers, Matrix x) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto values = [&](const char* which) {
      return set.tensors()[set.index_of(join(name, ".", i, which))].values();
    };
    if (layers[i] == "linear") x = naive_linear(x, values(".weight"), values(".bias"));
    if (layers[i] == "norm") x = naive_norm(x, values(".weight"), values(".bias"));
    if (layers[i] == "relu")
      for (double& value : x) value = std::max(value, 0.0);
  }
  return x;
}

/// Both views' features by the weights of one set of an objective.
Matrix features_by(const ParameterSet& set, const Objective& objective, const Views& views) {
  Encoder encoder = objective.encoder();
  for (const NamedTensor& parameter : parameters_of(encoder, "encoder."))
    *parameter.tensor = set.tensors()[set.index_of(parameter.name)];
  return encoder(views.both, {.groups = 2}).values();
}

/// With random biases, scales and shifts. A target network gets others than the trained one.
std::unique_ptr<Objective> stirred(const Options& options) {
  auto objective = small_objective(options);
  std::uint64_t stream = 500;
  for (const auto& [name, set] : objective->state().parameters)
    for (const Tensor& tensor : set.tensors())
      if (tensor.shape.rank() == 1) assign(tensor, tensor.detached() + 0.3 * random_tensor(tensor.shape, ++stream));
  return objective;
}

constexpr int objective_n = small_batch, objective_d = 6;  // of small_options

TEST(SimclrObjective, IsNtXentOfItsProjections) {
  for (const auto& [norms, layers] :
       {std::pair<const char*, Layers>{"on", {"linear", "norm", "relu", "linear", "norm"}},
        {"off", {"linear", "relu", "linear"}}}) {
    Options options = small_options("simclr");
    set_options(options, {{"simclr.temperature", "0.37"}, {"simclr.batch_norm", norms}, {"simclr.last_norm", norms}});
    const auto objective = stirred(options);
    const ParameterSet model = set_of(*objective, "model");
    const Views views = random_batch(1);
    const Matrix z = naive_head(model, "projector", layers, features_by(model, *objective, views));
    const double expected = naive_nt_xent(z, objective_n, objective_d, 0.37);
    EXPECT_NEAR(objective->step(views, step_context(0)).loss.item(), expected, 1e-10) << "norms " << norms;
  }
}

TEST(BarlowTwinsObjective, IsItsFormulaOfItsProjections) {
  for (const bool unbiased : {true, false}) {
    Options options = small_options("barlow_twins");
    set_options(options, {{"barlow_twins.lambda", "0.5"},
                          {"barlow_twins.scale", "3"},
                          {"barlow_twins.unbiased", unbiased ? "on" : "off"},
                          {"barlow_twins.epsilon", "0.02"}});
    const auto objective = stirred(options);
    const ParameterSet model = set_of(*objective, "model");
    const Views views = random_batch(1);
    const Layers layers{"linear", "norm", "relu", "linear", "norm", "relu", "linear"};
    const Matrix z = naive_head(model, "projector", layers, features_by(model, *objective, views));
    const double expected = naive_barlow_twins(z, objective_n, objective_d,
                                               {.lambda = 0.5, .scale = 3, .unbiased = unbiased, .epsilon = 0.02});
    EXPECT_NEAR(objective->step(views, step_context(0)).loss.item(), expected, 1e-10 * expected) << unbiased;
  }
}

TEST(VicregObjective, IsItsFormulaOfItsProjections) {
  Options options = small_options("vicreg");
  set_options(options, {{"vicreg.deviation", "1.7"}, {"vicreg.epsilon", "0.03"}});
  const auto objective = stirred(options);
  const ParameterSet model = set_of(*objective, "model");
  const Views views = random_batch(1);
  const Layers layers{"linear", "norm", "relu", "linear", "norm", "relu", "linear"};
  const Matrix z = naive_head(model, "projector", layers, features_by(model, *objective, views));
  const double expected = naive_vicreg(z, objective_n, objective_d, {.deviation = 1.7, .epsilon = 0.03});
  EXPECT_NEAR(objective->step(views, step_context(0)).loss.item(), expected, 1e-10 * expected);
}

TEST(ByolObjective, ComparesPredictionsWithTheTargetsProjections) {
  const auto objective = stirred(small_options("byol"));
  const ParameterSet model = set_of(*objective, "model"), target = set_of(*objective, "target");
  const Views views = random_batch(1);
  const Layers layers{"linear", "norm", "relu", "linear"};
  const Matrix online = naive_head(model, "projector", layers, features_by(model, *objective, views)),
               other = naive_head(target, "projector", layers, features_by(target, *objective, views));
  const double expected = naive_byol(naive_head(model, "predictor", layers, online), other, objective_n, objective_d);
  EXPECT_NEAR(objective->step(views, step_context(0)).loss.item(), expected, 1e-10);
}

TEST(ByolObjective, ItsMomentumGoesFromOneToTheOtherAlongACosine) {
  Options options = small_options("byol");
  set_options(options, {{"byol.momentum", "0.5"}, {"byol.final_momentum", "0.75"}});
  for (const auto& [step, momentum] : {std::pair{0, 0.5}, {5, 0.625}, {10, 0.75}})  // of ten
    expect_moving_average(*small_objective(options), "target", momentum, random_batch(1), step_context(step, 0.5),
                          1e-12);
}

// ---- the losses once more

TEST(Losses, SinglePrecisionFollowsDouble) {
  const int n = 32, d = 64;
  const Matrix z = random_matrix(2 * n * d, 8), p = random_matrix(2 * n * d, 9);
  const auto at = [&](DType type, const Matrix& values) {
    return from_values(cpu_backend(), {2 * n, d}, values, type);
  };
  const auto close = [](double single, double exact) { EXPECT_NEAR(single, exact, 2e-5 * (1 + std::abs(exact))); };
  close(nt_xent(at(DType::f32, z), 0.2).item(), nt_xent(at(DType::f64, z), 0.2).item());
  close(barlow_twins(at(DType::f32, z)).item(), barlow_twins(at(DType::f64, z)).item());
  close(byol(at(DType::f32, p), at(DType::f32, z)).item(), byol(at(DType::f64, p), at(DType::f64, z)).item());
}

TEST(Losses, RefuseImpossibleInput) {
  const Tensor one = zeros(cpu_backend(), {2, 3}), odd = zeros(cpu_backend(), {3, 3}),
               two = zeros(cpu_backend(), {4, 3});
  EXPECT_THROW(nt_xent(odd, 0.5), UsageError);
  EXPECT_THROW(nt_xent(one, 0.5), UsageError);
  EXPECT_THROW(nt_xent(two, 0), UsageError);
  EXPECT_THROW(stratified_nt_xent(two, 0.5), UsageError);
  EXPECT_THROW(stratified_nt_xent(zeros(cpu_backend(), {3, 2, 4}), 0.5), UsageError);
  EXPECT_THROW(barlow_twins(one), UsageError);
  EXPECT_THROW(byol(two, one), UsageError);
}

}  // namespace
}  // namespace vergence
