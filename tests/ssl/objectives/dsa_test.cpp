// The parts of DSA: the specification's reference values, double loops that follow the formulas word by word, gradients
// of first and second order against central differences. All in f64 but where it says f32.
#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <numeric>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objectives/dsa/loss.h"
#include "ssl/objectives/dsa/modules.h"
#include "tests/support/small_models.h"

namespace vergence {
namespace {

using Values = std::vector<double>;

Tensor tensor(const Shape& shape, const Values& values) { return from_values(cpu_backend(), shape, values); }

// ---- the reference case: N = 6, e = 3

Values embeddings(double start) {
  Values values;
  for (int i = 0; i < 6; ++i)
    for (int c = 0; c < 3; ++c) values.push_back(std::sin(start + 3 * i + c));
  return values;
}

/// Features on the unit circle, at angles 0.3 i^2 + turn.
Tensor circle(double turn) {
  Values values;
  for (int i = 0; i < 6; ++i)
    values.push_back(std::cos(0.3 * i * i + turn)), values.push_back(std::sin(0.3 * i * i + turn));
  return tensor({6, 2}, values);
}

Arranging reference_module(ArrangingMode mode, ArrangingOutput output) {
  const int in = mode == ArrangingMode::concat ? 6 : 3;
  Values w, b;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < in; ++c) w.push_back(0.1 * ((7 * r + 3 * c) % 5 - 2));
    b.push_back(0.05 * (r + 1));
  }
  Arranging module;
  module.mode = mode, module.output = output;
  module.first = {tensor({3, in}, w), tensor({3}, b), "first"};
  module.second = {tensor({1, 3}, {0.3, -0.2, 0.4}), tensor({1}, {0.1}), "second"};
  return module;
}

Blocks reference_prior() {
  const Tensor u1 = circle(0.1), u2 = circle(-0.15);
  const auto alike = [](const Tensor& p, const Tensor& q) { return exp(-2 * unit_distances(p, q)); };
  return {alike(u1, u1), alike(u2, u2), alike(u1, u2), alike(u2, u1)};
}

struct Reference {
  std::vector<double> row, b;
  double adjusting, prior, total, gradient = NAN;
};

void expect_row(const Tensor& matrix, const Values& row) {
  const Values values = matrix.values();
  for (std::size_t j = 0; j < row.size(); ++j) EXPECT_NEAR(values[j], row[j], 5.1e-7) << j;
}

void expect_reference(const Arranging& module, bool same_view, const Reference& expected) {
  const Tensor a = leaf(tensor({6, 3}, embeddings(1))), b = leaf(tensor({6, 3}, embeddings(1.3)));
  const Tensor scores = anchor_scores(neighbors(circle(0), 3), 3, 1);
  Blocks matrices{module(a, a), module(b, b), {}, {}};
  matrices[2] = same_view ? matrices[0] : module(a, b);
  matrices[3] = same_view ? matrices[1] : module(b, a);
  const Blocks apart{unit_distances(a, a), unit_distances(b, b), unit_distances(a, b), unit_distances(b, a)};
  expect_row(matrices[2], expected.row);
  for (std::size_t k = 0; k < 4; ++k) {
    const Values d = apart[k].values(), m = matrices[k].values(), s = scores.values();
    double block = 0;
    for (std::size_t at = 0; at < 36; ++at)
      if (k > 1 || at % 7 != 0) block += std::exp(s[at / 6] * d[at] * (2 * m[at] - 1) / 0.5) / 36;
    EXPECT_NEAR(block, expected.b[k], 5.1e-7) << "block " << k;
  }
  const Tensor adjusting = adjusting_loss(apart, matrices, scores, 0.5);
  const Tensor prior = prior_loss(matrices, reference_prior(), false);
  const Tensor loss = nt_xent(concat({a, b}, 0), 0.5) + adjusting + 0.01 * prior;
  EXPECT_NEAR(adjusting.item(), expected.adjusting, 5.1e-7);
  EXPECT_NEAR(prior.item(), expected.prior, 5.1e-7);
  EXPECT_NEAR(prior_loss(matrices, reference_prior(), true).item(), expected.prior / 4, 5.1e-7);
  EXPECT_NEAR(loss.item(), expected.total, 5.1e-7);
  if (std::isnan(expected.gradient)) return;
  EXPECT_NEAR(grad({loss}, {a})[0].values()[0], expected.gradient, 5.1e-7);
}

TEST(DsaReference, TheAttractedShareCountsPairsOfDifferentImages) {
  // Four of the six pairs of block 11 are above 1/2, one of block 12; what stands on diagonals does not count.
  const Tensor first = tensor({3, 3}, {0.9, 0.6, 0.5, 0.7, 0.9, 0.51, 0.4, 0.8, 0.9});
  const Tensor none = tensor({3, 3}, {0.9, 0.5, 0.2, 0.1, 0.9, 0.3, 0.0, 0.5, 0.9});
  const Tensor one = tensor({3, 3}, {0.1, 0.5, 0.2, 0.1, 0.1, 0.3, 1.0, 0.5, 0.1});
  EXPECT_NEAR(attracted_share({first, none, one, none}).item(), 5.0 / 24, 1e-12);
}

TEST(DsaReference, BaseAndPrior) {
  EXPECT_NEAR(nt_xent(concat({tensor({6, 3}, embeddings(1)), tensor({6, 3}, embeddings(1.3))}, 0), 0.5).item(),
              1.569744, 5.1e-7);
  expect_row(reference_prior()[2], {0.607320, 0.904847, 0.160517, 0.023209, 0.047430, 0.155798});
}

TEST(DsaReference, NeighborsAndScores) {
  const auto listed = [](const Tensor& graph) {
    std::vector<std::vector<int>> lists(6);
    const Values values = graph.values();
    for (std::size_t at = 0; at < 36; ++at) {
      if (values[at] == 1) lists[at / 6].push_back(static_cast<int>(at % 6));
    }
    return lists;
  };
  const Tensor two = neighbors(circle(0), 2), three = neighbors(circle(0), 3);
  using Lists = std::vector<std::vector<int>>;
  EXPECT_EQ(listed(two), (Lists{{1, 2}, {0, 2}, {1, 5}, {2, 5}, {0, 1}, {1, 2}}));
  EXPECT_EQ(listed(three), (Lists{{1, 2, 5}, {0, 2, 5}, {0, 1, 5}, {2, 4, 5}, {0, 1, 3}, {0, 1, 2}}));
  EXPECT_EQ(anchor_scores(two, 2, 0).values(), (Values{.5, 1, 1, 0, 0, .5}));
  EXPECT_EQ(anchor_scores(two, 2, 1).values(), Values(6, 0));
  EXPECT_EQ(anchor_scores(three, 3, 1).values(), (Values{1, 1, 1, 0, 0, 1}));
}

TEST(DsaReference, ConcatWithSigmoid) {
  expect_reference(reference_module(ArrangingMode::concat, ArrangingOutput::sigmoid), false,
                   {{0.566346, 0.553301, 0.562054, 0.550434, 0.556378, 0.547831},
                    {0.977496, 0.993885, 1.159575, 1.154971},
                    0.728264,
                    10.347602,
                    2.401484,
                    -0.044064});
}

TEST(DsaReference, ConcatWithRelu) {
  expect_reference(reference_module(ArrangingMode::concat, ArrangingOutput::relu), false,
                   {{0.266958, 0.214017, 0.249502, 0.202423, 0.226476, 0.191912},
                    {0.444334, 0.448361, 0.599351, 0.578013},
                    0.417074,
                    8.061037,
                    2.067428,
                    -0.048359});
}

TEST(DsaReference, TheAuthorsCode) {
  expect_reference(reference_module(ArrangingMode::diff_l1, ArrangingOutput::relu), true,
                   {{0.165414, 0.167909, 0.167234, 0.166075, 0.169045, 0.164323},
                    {0.440277, 0.439483, 0.591133, 0.567683},
                    0.411874,
                    8.066578,
                    2.062284});
}

// ---- gradients

using Function = std::function<Tensor(const Tensors&)>;

/// The derivative of f along random directions, at first order and of its squared gradient's length, against central
/// differences.
void expect_differentiable(const Function& f, const Tensors& at, double tolerance = 1e-6) {
  const auto first = [&](const Tensors& values, bool create) {
    Tensors leaves;
    for (const Tensor& value : values) leaves.push_back(value.node ? value : leaf(value));
    return grad({f(leaves)}, leaves, {.create = create});
  };
  const auto length = [](const Tensors& gradients) {
    Tensor sum;
    for (const Tensor& g : gradients) sum = sum ? sum + dot(g, g) : dot(g, g);
    return sum;
  };
  Tensors directions, leaves;
  for (std::size_t i = 0; i < at.size(); ++i) {
    directions.push_back(random_tensor(at[i].shape, 90 + i));
    leaves.push_back(leaf(at[i]));
  }
  const auto moved = [&](double step) {
    Tensors values = at;
    for (std::size_t i = 0; i < at.size(); ++i) values[i] = at[i] + step * directions[i];
    return values;
  };
  const auto along = [&](const Tensors& gradients) {
    double sum = 0;
    for (std::size_t i = 0; i < at.size(); ++i) sum += dot(gradients[i], directions[i]).item();
    return sum;
  };
  constexpr double step = 1e-6;
  const double slope = along(first(at, false));
  EXPECT_GT(std::abs(slope), 1e-6) << "the gradient must not vanish, or this test shows nothing";
  EXPECT_NEAR((f(moved(step)).item() - f(moved(-step)).item()) / (2 * step), slope, tolerance * (1 + std::abs(slope)));
  const double bend = along(grad({length(first(leaves, true))}, leaves));
  const double difference = length(first(moved(step), false)).item() - length(first(moved(-step), false)).item();
  EXPECT_NEAR(difference / (2 * step), bend, 10 * tolerance * (1 + std::abs(bend)));
}

// ---- pairs

double naive_score(const Values& left, const Values& right, const Values& weight, double bias, int i, int j) {
  const int width = static_cast<int>(weight.size());
  double score = bias;
  for (int c = 0; c < width; ++c) score += weight[c] * std::max(0.0, left[i * width + c] + right[j * width + c]);
  return score;
}

TEST(DsaPairs, ScoresMatchTheFormulaWhateverTheParts) {
  const Tensor left = random_tensor({7, 5}, 1), right = random_tensor({4, 5}, 2), weight = random_tensor({1, 5}, 3),
               bias = random_tensor({1}, 4), seed = random_tensor({7, 4}, 5);
  Values first;
  std::vector<Values> gradients;
  for (const int values : {1, 40, 61, 1000}) {  // a row, two, three (the last part is smaller), all at a time
    const Tensors leaves{leaf(left), leaf(right), leaf(weight), leaf(bias)};
    const Tensor scores = pair_scores(leaves[0], leaves[1], leaves[2], leaves[3], values);
    const Values got = scores.values();
    for (int i = 0; i < 7; ++i)
      for (int j = 0; j < 4; ++j)
        EXPECT_NEAR(got[i * 4 + j], naive_score(left.values(), right.values(), weight.values(), bias.item(), i, j),
                    1e-14);
    const Tensors parts = grad({scores}, leaves, {.seeds = {seed}});
    for (std::size_t k = 0; k < parts.size(); ++k) {
      if (gradients.size() <= k) gradients.push_back(parts[k].values());
      const Values now = parts[k].values();
      for (std::size_t n = 0; n < now.size(); ++n) EXPECT_NEAR(now[n], gradients[k][n], 1e-13) << k << " " << n;
    }
  }
}

TEST(DsaPairs, ScoresAreDifferentiable) {
  const Tensor weights = random_tensor({6, 4}, 7);
  const Function f = [&](const Tensors& x) { return dot(square(pair_scores(x[0], x[1], x[2], x[3], 50)), weights); };
  expect_differentiable(
      f, {random_tensor({6, 5}, 1), random_tensor({4, 5}, 2), random_tensor({1, 5}, 3), random_tensor({1}, 4)});
}

TEST(DsaPairs, EachGradientIsThereAlone) {
  const Tensors at{random_tensor({6, 5}, 1), random_tensor({4, 5}, 2), random_tensor({1, 5}, 3), random_tensor({1}, 4)};
  const Tensor seed = random_tensor({6, 4}, 7);
  const Tensors leaves{leaf(at[0]), leaf(at[1]), leaf(at[2]), leaf(at[3])};
  const Tensors all = grad({pair_scores(leaves[0], leaves[1], leaves[2], leaves[3])}, leaves, {.seeds = {seed}});
  for (std::size_t k = 0; k < at.size(); ++k) {
    Tensors some = at;
    some[k] = leaf(at[k]);
    const Tensor one = grad({pair_scores(some[0], some[1], some[2], some[3])}, {some[k]}, {.seeds = {seed}})[0];
    EXPECT_EQ(one.values(), all[k].values()) << k;
  }
}

TEST(DsaPairs, L1MatchesTheFormula) {
  const Tensor left = random_tensor({7, 5}, 1), right = random_tensor({4, 5}, 2);
  const Values l = left.values(), r = right.values();
  for (const int values : {1, 60, 1000}) {
    const Values got = pair_l1(left, right, values).values();
    for (int c = 0; c < 5; ++c) {
      double sum = 0;
      for (int i = 0; i < 7; ++i)
        for (int j = 0; j < 4; ++j) sum += std::abs(l[i * 5 + c] - r[j * 5 + c]);
      EXPECT_NEAR(got[c], sum, 1e-13);
    }
  }
  const Tensor weights = random_tensor({5}, 3);
  expect_differentiable([&](const Tensors& x) { return dot(square(pair_l1(x[0], x[1], 60)), weights); }, {left, right});
  const Tensor one = leaf(tensor({1, 2}, {0.5, 0.5}));
  EXPECT_EQ(grad({sum(pair_l1(one, tensor({2, 2}, {0.5, 1, 0.5, 0})))}, {one})[0].values(), (Values{0, 0}));
  expect_differentiable([&](const Tensors& x) { return dot(square(pair_l1(x[0], x[0], 60)), weights); }, {left});
}

TEST(DsaPairs, MemoryDoesNotGrowWithThePairsTimesTheWidth) {
  const std::int64_t n = 256, width = 256;
  const Tensor left = random_tensor({n, width}, 1, DType::f32), right = random_tensor({n, width}, 2, DType::f32),
               weight = random_tensor({1, width}, 3, DType::f32), bias = zeros(cpu_backend(), {1});
  const Tensors leaves{leaf(left), leaf(right), leaf(weight), leaf(bias)};
  const std::int64_t before = cpu_backend().memory().used;
  cpu_backend().reset_peak();
  const Tensor scores = pair_scores(leaves[0], leaves[1], leaves[2], leaves[3]);
  grad({dot(scores, scores)}, leaves);
  EXPECT_LT(cpu_backend().memory().peak - before, n * n * width * size_of(DType::f32) / 6);
}

TEST(DsaPairs, DistancesAreThoseOfUnitVectors) {
  const Tensor p = random_tensor({5, 3}, 1), q = random_tensor({4, 3}, 2);
  const Values a = l2_normalize(p).values(), b = l2_normalize(q).values(), got = unit_distances(p, q).values();
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 4; ++j) {
      double sum = 0;
      for (int c = 0; c < 3; ++c) sum += (a[i * 3 + c] - b[j * 3 + c]) * (a[i * 3 + c] - b[j * 3 + c]);
      EXPECT_NEAR(got[i * 4 + j], std::sqrt(sum), 1e-14);
    }
  const Tensor weights = random_tensor({5, 4}, 3), own = random_tensor({5, 5}, 4);
  expect_differentiable([&](const Tensors& x) { return dot(unit_distances(x[0], x[1]), weights); }, {p, q});
  expect_differentiable([&](const Tensors& x) { return dot(unit_distances(x[0], x[0]), own); }, {p});
}

TEST(DsaPairs, DistancesOfEqualRowsAreZeroAndPushNowhere) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Tensor one = random_tensor({5, 64}, 1, dtype);
    const Tensor x = leaf(concat({one, 3 * one, zeros(cpu_backend(), {1, 64}, dtype)}, 0));  // the same directions
    const Tensor apart = unit_distances(x, x);
    const Values values = apart.values();
    for (std::size_t i = 0; i < 11; ++i) EXPECT_EQ(values[i * 12], 0) << i;
    for (std::size_t i = 0; i < 5 && dtype == DType::f64; ++i) EXPECT_EQ(values[i * 11 + i + 5], 0) << i;
    for (const double g : grad({sum(apart)}, {x})[0].values()) EXPECT_TRUE(std::isfinite(g));
  }
}

TEST(DsaPairs, DistancesOfSinglePrecisionRowsAreExactWhereTheyAreSmall) {
  const Tensor p = random_tensor({1, 64}, 1, DType::f32);
  Values moved = p.values();
  moved[5] += 0x1p-12;
  const Tensor q = from_values(cpu_backend(), {1, 64}, moved, DType::f32);
  const Values a = l2_normalize(cast(p, DType::f64)).values(), b = l2_normalize(cast(q, DType::f64)).values();
  double sum = 0;
  for (std::size_t c = 0; c < 64; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
  EXPECT_NEAR(unit_distances(p, q).item(), std::sqrt(sum), 1e-6 * std::sqrt(sum));
}

// ---- the modules

TEST(DsaArranging, IsAPerceptronOverJoinedRows) {
  const Arranging module =
      make_arranging(ArrangingMode::concat, ArrangingOutput::sigmoid, 4, {cpu_backend(), 3, DType::f64});
  const Tensor p = random_tensor({5, 4}, 1), q = random_tensor({5, 4}, 2);
  const Values got = module(p, q).values();
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) {
      const Tensor joined = concat({slice(p, 0, i, 1), slice(q, 0, j, 1)}, 1);
      const Tensor hidden = relu(linear(joined, module.first.w, module.first.bias));
      EXPECT_NEAR(got[i * 5 + j], sigmoid(linear(hidden, module.second.w, module.second.bias)).item(), 1e-14);
    }
}

TEST(DsaArranging, TheAuthorsFormScalesColumnsAndRows) {
  Arranging module = make_arranging(ArrangingMode::diff_l1, ArrangingOutput::relu, 4, {cpu_backend(), 3, DType::f64});
  module.second.bias = full(cpu_backend(), {1}, 0.8, DType::f64);
  module.first.w = 60 * module.first.w;  // else the inputs, of the order of 1 / N^2, hardly count
  const Tensor p = random_tensor({5, 4}, 1), q = random_tensor({5, 4}, 2);
  const Values got = module(p, q).values();
  Tensors rows;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 5; ++j) rows.push_back(slice(p, 0, i, 1) - slice(q, 0, j, 1));
  Tensor input = concat(rows, 0);
  input = input / sum_over_rows(abs(input));
  const Tensor flat =
      relu(linear(relu(linear(input, module.first.w, module.first.bias)), module.second.w, module.second.bias));
  const Tensor matrix = reshape(flat, {5, 5});
  const Values expected = (matrix / sum_cols(matrix)).values();
  for (std::size_t k = 0; k < 25; ++k) EXPECT_NEAR(got[k], expected[k], 1e-14);
  EXPECT_GT(*std::max_element(got.begin(), got.end()) - *std::min_element(got.begin(), got.end()), 0.01);
}

TEST(DsaArranging, IsDifferentiable) {
  for (const ArrangingMode mode : {ArrangingMode::concat, ArrangingMode::diff_l1})
    for (const ArrangingOutput output : {ArrangingOutput::sigmoid, ArrangingOutput::relu}) {
      const Arranging start = make_arranging(mode, output, 4, {cpu_backend(), 3, DType::f64});
      const Tensor weights = random_tensor({5, 5}, 3);
      const Function f = [&](const Tensors& x) {
        Arranging module = start;
        module.first.w = x[2], module.first.bias = x[3], module.second.w = x[4], module.second.bias = x[5];
        return dot(square(module(x[0], x[1])), weights);
      };
      const double scale = mode == ArrangingMode::diff_l1 ? 40 : 1;
      expect_differentiable(f,
                            {random_tensor({5, 4}, 1), random_tensor({5, 4}, 2), scale * start.first.w,
                             start.first.bias, start.second.w, full(cpu_backend(), {1}, 0.6, DType::f64)},
                            1e-5);
    }
}

/// The rule in words: sorted by cosine, then by place.
std::vector<Values> naive_graph(const Values& u, int n, int d, int count) {
  std::vector<Values> graph(static_cast<std::size_t>(n), Values(static_cast<std::size_t>(n), 0));
  for (int i = 0; i < n; ++i) {
    const auto cosine = [&](int j) {
      double ij = 0, ii = 0, jj = 0;
      for (int c = 0; c < d; ++c) {
        ij += u[i * d + c] * u[j * d + c], ii += u[i * d + c] * u[i * d + c], jj += u[j * d + c] * u[j * d + c];
      }
      return std::round(ij / std::sqrt(ii * jj) * 0x1p30);
    };
    std::vector<int> order;
    for (int j = 0; j < n; ++j)
      if (j != i) order.push_back(j);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return cosine(a) > cosine(b); });
    for (int k = 0; k < count; ++k) graph[i][order[k]] = 1;
  }
  return graph;
}

TEST(DsaScoring, FollowsTheNeighborGraph) {
  for (const auto& [n, count, common] : {std::tuple{9, 3, 0}, {23, 5, 1}, {40, 20, 11}, {12, 11, 9}})
    for (const DType dtype : {DType::f64, DType::f32}) {
      const Tensor u = random_tensor({n, 6}, static_cast<std::uint64_t>(n), dtype);
      const std::vector<Values> graph = naive_graph(u.values(), n, 6, count);
      const Tensor got = neighbors(u, count);
      Values flat;
      for (const Values& row : graph) flat.insert(flat.end(), row.begin(), row.end());
      EXPECT_EQ(got.values(), flat) << n;
      Values scores;
      for (int i = 0; i < n; ++i) {
        int reliable = 0;
        for (int j = 0; j < n; ++j) {
          int both = 0;
          for (int l = 0; l < n; ++l) both += graph[j][l] * graph[l][i];
          reliable += graph[i][j] == 1 && both > common;
        }
        scores.push_back(static_cast<double>(reliable) / count);
      }
      EXPECT_GT(*std::max_element(scores.begin(), scores.end()), 0);
      const Values values = anchor_scores(got, count, common).values();
      for (int i = 0; i < n; ++i) EXPECT_NEAR(values[i], scores[i], 1e-15);
    }
}

TEST(DsaScoring, OfEqualRowsTheFirstAreNeighborsAndNeverItself) {
  const Tensor u = full(cpu_backend(), {5, 7}, 0.3, DType::f32);  // all alike
  EXPECT_EQ(neighbors(u, 2).values(),
            (Values{0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0}));
  EXPECT_THROW(neighbors(u, 5), UsageError);
  EXPECT_THROW(neighbors(u, 0), UsageError);
}

TEST(DsaScoring, QuantilesLeaveTheDiagonalsOut) {
  const std::int64_t n = 13;
  for (const double q : {1e-9, 0.02, 0.1, 0.5, 1.0}) {
    Tensors matrices;
    Values entries;
    for (std::uint64_t k = 0; k < 3; ++k) {
      matrices.push_back(random_tensor({n, n}, k) + 1);
      const Values values = matrices.back().values();
      for (std::size_t at = 0; at < values.size(); ++at)
        if (at % (n + 1) != 0) entries.push_back(values[at]);
    }
    std::sort(entries.begin(), entries.end());
    const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(q * static_cast<double>(entries.size())))) - 1;
    EXPECT_NEAR(off_diagonal_quantile(matrices, q, 2).item(), entries[rank], 2.5e-7) << q;
  }
}

// ---- the losses

Blocks random_blocks(std::uint64_t stream) {
  Blocks blocks;
  for (Tensor& block : blocks) block = affine(random_tensor({5, 5}, stream++), 0.5, 0.5);
  return blocks;
}

Blocks random_distances() {
  const Tensor a = random_tensor({5, 3}, 1), b = random_tensor({5, 3}, 2);
  return {unit_distances(a, a), unit_distances(b, b), unit_distances(a, b), unit_distances(b, a)};
}

TEST(DsaLoss, IsThatOfTheFormula) {
  const Blocks apart = random_distances(), matrices = random_blocks(10), prior = random_blocks(20);
  const Tensor scores = affine(random_tensor({5, 1}, 30), 0.5, 0.5);
  for (const bool scored : {true, false}) {
    double total = 0, norms = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const Values d = apart[k].values(), m = matrices[k].values(), p = prior[k].values(), s = scores.values();
      double square = 0;
      for (std::size_t at = 0; at < 25; ++at) {
        if (k > 1 || at % 6 != 0) total += std::exp((scored ? s[at / 5] : 1) * d[at] * (2 * m[at] - 1) / 0.3) / 25;
        square += (m[at] - p[at]) * (m[at] - p[at]);
      }
      norms += std::sqrt(square);
    }
    EXPECT_NEAR(adjusting_loss(apart, matrices, scored ? scores : Tensor{}, 0.3).item(), std::log(1 + total / 4),
                1e-13);
    EXPECT_NEAR(prior_loss(matrices, prior, false).item(), norms, 1e-13);
    EXPECT_NEAR(prior_loss(matrices, prior, true).item(), norms / 4, 1e-13);
  }
}

TEST(DsaLoss, AnImageWithoutReliableNeighborsPushesNothing) {
  const Values scores{1, 0, 0.5, 0, 1};
  const Blocks apart = random_distances();
  Blocks matrices = random_blocks(10);
  Tensors leaves;
  for (std::size_t k = 0; k < 4; ++k) leaves.push_back(matrices[k] = leaf(matrices[k]));
  const Tensor loss = adjusting_loss(apart, matrices, tensor({5, 1}, scores), 0.5);
  for (const Tensor& gradient : grad({loss}, leaves)) {
    const Values g = gradient.values();
    for (std::size_t at = 0; at < 25; ++at) {
      EXPECT_GE(g[at], 0);  // alone it would drive the matrix to 0
      EXPECT_TRUE(scores[at / 5] > 0 || g[at] == 0) << at;
    }
  }
}

TEST(DsaLoss, LargeMatricesDoNotOverflow) {
  Blocks matrices;
  for (Tensor& matrix : matrices) matrix = leaf(full(cpu_backend(), {5, 5}, 1e6));
  const Tensor loss = adjusting_loss(random_distances(), matrices, {}, 0.5);
  EXPECT_NEAR(loss.item(), std::log(1 + std::exp(30.0) * 90 / 100), 1e-5);
  for (const double g : grad({loss}, {matrices[2]})[0].values()) EXPECT_EQ(g, 0);
}

TEST(DsaLoss, AMatrixThatIsThePriorIsAtRest) {
  const Blocks prior = random_blocks(10);
  const Blocks matrices{leaf(prior[0]), leaf(prior[1]), leaf(prior[2]), leaf(prior[3])};
  const Tensor loss = prior_loss(matrices, prior, false);
  EXPECT_NEAR(loss.item(), 0, 1e-14);
  for (const double g : grad({loss}, {matrices[0]})[0].values()) EXPECT_EQ(g, 0);
}

}  // namespace
}  // namespace vergence
