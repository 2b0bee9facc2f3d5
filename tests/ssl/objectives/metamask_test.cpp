// MetaMask: the numbers of a small worked example, and what its switches do to whole steps.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <optional>

#include "engine/bilevel.h"
#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "engine/optimizer.h"
#include "kernels/draws.h"
#include "models/encoders/resnet.h"
#include "ssl/bench/step.h"
#include "ssl/losses.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/vectors.h"

namespace vergence::test {
namespace {

Tensor series(const Shape& shape, const std::function<double(double)>& value) {
  std::vector<double> values;
  for (std::int64_t k = 0; k < shape.size(); ++k) values.push_back(value(static_cast<double>(k)));
  return from_values(cpu_backend(), shape, values);
}

Tensor constant(const Shape& shape, double value) { return full(cpu_backend(), shape, value, DType::f64); }

/// The worked example: an encoder of one linear layer, batch norm and ReLU per view, the mask, a head of two linear
/// layers with batch norm per view; 79 weights.
struct Example {
  Tensor x;  // both views
  Tensors weights;
  Tensor logits = from_values(cpu_backend(), {4}, {0.4, -0.3, 0.2, -0.1});

  Example() {
    const auto view = [](double v) {
      return series({4, 3}, [v](double k) { return std::sin(1.0 + 0.37 * k + 2.1 * v); });
    };
    x = concat({view(0), view(1)}, 0);
    weights = {series({4, 3}, [](double k) { return std::cos(0.5 + 0.61 * k); }),
               constant({4}, 1),
               constant({4}, 0.3),
               series({5, 4}, [](double k) { return 0.8 * std::sin(0.2 + 0.83 * k); }),
               constant({5}, 0),
               constant({5}, 1),
               constant({5}, 0.2),
               series({3, 5}, [](double k) { return 0.7 * std::cos(1.1 + 0.47 * k); }),
               constant({3}, 0),
               constant({3}, 1),
               constant({3}, 0)};
  }

  BilevelLoss loss() const {
    return [this](const Tensors& w, const Tensors& meta) {
      const BatchNormOptions plain{.groups = 2}, relu{.groups = 2, .relu = true};
      const Tensor h = batch_norm(linear(x, w[0]), w[1], w[2], {}, relu).y;
      const Tensor a = batch_norm(linear(mask_scale(h, sigmoid(meta[0])), w[3], w[4]), w[5], w[6], {}, relu).y;
      return nt_xent(batch_norm(linear(a, w[7], w[8]), w[9], w[10], {}, plain).y, 0.5);
    };
  }
  MetaGradient solve(const BilevelOptions& options) const {
    return meta_gradient(loss(), loss(), weights, {logits}, {.lr = constant({1}, 0.05)}, options);
  }
};

void expect_values(const Tensor& found, const std::vector<double>& expected, double tolerance) {
  const std::vector<double> values = found.values();
  ASSERT_EQ(values.size(), expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], tolerance) << "entry " << i;
}

double norm_of(const Tensors& tensors) {
  double sum = 0;
  for (const Tensor& tensor : tensors) sum += dot(tensor, tensor).item();
  return std::sqrt(sum);
}

TEST(MetaMaskExample, LossesOfTwoViews) {
  const auto z = [](double first, double step) {
    return series({4, 3}, [=](double k) { return std::sin(first + step * k); });
  };
  const Tensor a = z(0.3, 0.7), b = z(0.5, 0.9), both = concat({a, b}, 0);
  EXPECT_NEAR(nt_xent(both, 0.07).item(), 10.5156188191, 1e-9);
  EXPECT_NEAR(nt_xent(both, 0.5).item(), 2.2658119300, 1e-9);
  const BarlowTwinsLoss loss{.lambda = 5e-3, .scale = 1, .unbiased = true, .epsilon = 0};
  EXPECT_NEAR(barlow_twins(both, loss).item(), 2.1126669840, 1e-9);
  EXPECT_NEAR(barlow_twins(concat({a, a}, 0), loss).item(), 0.1949129401, 1e-9);
}

TEST(MetaMaskExample, ExactMetaGradient) {
  const Example example;
  const MetaGradient meta = example.solve({});
  EXPECT_NEAR(meta.inner_loss.item(), 2.3447755788, 1e-9);
  EXPECT_NEAR(meta.outer_loss.item(), 2.1710187969, 1e-9);
  expect_values(meta.direct[0], {-0.4056965050, 0.6774207315, 0.5984924175, -0.7863192012}, 1e-9);
  expect_values(meta.gradient[0], {-1.4279835718, 0.7077528148, 0.8419616492, 0.2382064259}, 1e-9);
  expect_values((meta.direct[0] - meta.gradient[0]) * constant({}, 20),
                {20.4457413346, -0.6066416663, -4.8693846347, -20.4905125421}, 1e-8);
}

TEST(MetaMaskExample, FirstOrderGradients) {
  const Example example;
  Tensors theta;
  for (const Tensor& weight : example.weights) theta.push_back(leaf(weight));
  const Tensor logits = leaf(example.logits);
  Tensors wanted = theta;
  wanted.push_back(logits);
  Tensors gradients = grad({example.loss()(theta, {logits})}, wanted);
  expect_values(gradients.back(), {1.8831927089, -2.7300355211, -0.1790384996, 0.2402842678}, 1e-9);
  gradients.pop_back();
  EXPECT_NEAR(norm_of(gradients), 15.8651367569, 1e-9);
}

TEST(MetaMaskExample, FiniteDifferences) {
  const Example example;
  const auto found = [&](double radius) {
    return example.solve({.form = SecondOrder::finite_difference, .radius = radius}).gradient[0];
  };
  expect_values(found(0.01), {-1.4131691213, 0.6910568345, 0.8363298507, 0.2406566334}, 1e-9);
  expect_values(found(1e-4), {-1.4279820609, 0.7077511022, 0.8419610845, 0.2382066734}, 1e-8);
}

// ---- planted confounders

/// Features of which the last few are drowned in noise that the two views do not share. Everything else is as in
/// MetaMask, in small: a linear encoder, a head per loss, a regular step and a meta step on the same views.
struct Planted {
  static constexpr std::int64_t images = 64, inputs = 12, dim = 16, bad = 4;

  std::vector<double> draw(std::int64_t count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& value : values) value = normal(random);
    return values;
  }
  Tensor drawn(const Shape& shape, double scale) {
    std::vector<double> values = draw(shape.size());
    for (double& value : values) value *= scale;
    return from_values(cpu_backend(), shape, values, DType::f32);
  }
  Tensor weight(std::int64_t out, std::int64_t in) { return drawn({out, in}, 1 / std::sqrt(static_cast<double>(in))); }

  Planted() : random(11, Purpose::test) {
    encoder = weight(dim, inputs);
    for (Tensor* head : {contrastive, redundancy}) head[0] = weight(32, dim), head[1] = weight(12, 32);
    std::vector<NamedTensor> named{{"encoder", &encoder}};
    const char* names[2][2] = {{"contrastive.0", "contrastive.1"}, {"redundancy.0", "redundancy.1"}};
    for (int layer = 0; layer < 2; ++layer) named.push_back({names[0][layer], &contrastive[layer]});
    for (int layer = 0; layer < 2; ++layer) named.push_back({names[1][layer], &redundancy[layer]});
    theta = ParameterSet(named);
    mask = ParameterSet({{"logits", &logits}});
    weights.emplace(theta, OptimizerSettings{.momentum = 0.9, .weight_decay = 5e-4});
    logit.emplace(mask, OptimizerSettings{.momentum = 0.9});
  }

  static Tensor head(const Tensor& x, const Tensor& first, const Tensor& second) {
    const Tensor hidden = batch_norm(linear(x, first), {}, {}, {}, {.groups = 2, .relu = true}).y;
    return batch_norm(linear(hidden, second), {}, {}, {}, {.groups = 2}).y;
  }
  Tensor features(const Tensor& views, const Tensor& noise, const Tensor& w, const Tensor& m) const {
    return mask_scale(linear(views, w) + noise, sigmoid(m));
  }

  void step() {
    const Tensor image = drawn({images, inputs}, 1), pair = concat({image, image}, 0);
    const Tensor views = pair + drawn({2 * images, inputs}, 0.3);
    const Tensor noise = concat({full(cpu_backend(), {2 * images, dim - bad}, 0), drawn({2 * images, bad}, 3)}, 1);
    const BilevelLoss loss = [&](const Tensors& w, const Tensors& m) {
      return nt_xent(head(features(views, noise, w[0], m[0]), w[1], w[2]), 0.2);
    };
    const Tensors& w = theta.tensors();
    const Tensor s = features(views, noise, w[0], logits.detached());
    const BarlowTwinsLoss redundancy_loss{.lambda = 5e-3, .scale = 1, .unbiased = true, .epsilon = 0};
    const Tensor regular = barlow_twins(head(s, w[3], w[4]), redundancy_loss) + 10 * nt_xent(head(s, w[1], w[2]), 0.2);
    theta.gather_gradients(grad({regular}, w));
    weights->step(0.01);
    const InnerStep inner{.lr = full(cpu_backend(), {1}, 0.01)};
    mask.gather_gradients(meta_gradient(loss, loss, {w[0], w[1], w[2]}, {logits}, inner).gradient);
    logit->step(0.5);
  }

  Random random;
  Tensor encoder, contrastive[2], redundancy[2], logits = full(cpu_backend(), {dim}, 0);
  ParameterSet theta, mask;
  std::optional<Optimizer> weights, logit;
};

TEST(MetaMaskConfounder, DrownedDimensionsFallBelowAllOthers) {
  Planted planted;
  std::vector<double> mask;
  for (int step = 0; step < 300; ++step) {
    planted.step();
    mask = sigmoid(planted.logits.detached()).values();
    std::string text;
    for (const double value : mask) text += std::to_string(value) + ' ';
    RecordProperty(join("mask_at_", step + 1), text);  // for tests/ssl/evaluation/confounder_figure.py
  }
  const auto split = mask.end() - Planted::bad;
  const double lowest_good = *std::min_element(mask.begin(), split), highest_bad = *std::max_element(split, mask.end());
  EXPECT_LT(highest_bad, lowest_good) << "good " << lowest_good << " and up, drowned " << highest_bad << " and down";
}

// ---- whole steps

Options tiny(const Switches& more = {}) {
  Options options;
  options.objective = "metamask";
  options.components.get<ResNetSettings>().width = 2;
  options.momentum = 0.9;
  options.weight_decay = 5e-4;
  set_all(options, {"metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "12");
  set_option(options, "metamask.redundancy_output", "8");
  set_option(options, "metamask.contrastive_output", "6");
  set_option(options, "metamask.mask_lr", "0.1");
  set_options(options, more);
  return options;
}

struct Outcome {
  std::vector<double> losses, weights, mask;
};

Outcome train(const Options& options, int steps = 3, double lr = 0.01) {
  const auto objective = small_objective(options);
  Outcome result;
  for (int step = 0; step < steps; ++step) {
    const Views views = doubled(random_views(6, 8, static_cast<std::uint64_t>(7 + step), cpu_backend()));
    result.losses.push_back(objective->step(views, {.lr = lr, .step = step, .steps = steps, .images = 6}).loss.item());
  }
  const ObjectiveState state = objective->state();
  result.weights = state.parameters[0].second.flat().values();
  result.mask = state.parameters[1].second.flat().values();
  return result;
}

TEST(MetaMask, AMaskOfOnesIsNoMask) {
  const Outcome none = train(tiny({{"metamask.meta", "off"}}));
  const Outcome ones = train(tiny({{"metamask.sigmoid", "off"}, {"metamask.mask_lr", "0"}}));
  EXPECT_EQ(none.losses, ones.losses);
  EXPECT_EQ(none.weights, ones.weights);
}

/// The control: the same mask is learned, and the regular step gives each dimension that of another one.
TEST(MetaMask, APermutedMaskHasTheSameValuesElsewhere) {
  const Options options = tiny({{"metamask.mask_use", "permuted"}, {"metamask.mask_lr", "1"}});
  const auto objective = small_objective(options);
  for (int step = 0; step < 3; ++step) {
    const Views views = doubled(random_views(6, 8, static_cast<std::uint64_t>(7 + step), cpu_backend()));
    objective->step(views, {.lr = 0.01, .step = step, .steps = 3, .images = 6});
  }
  std::vector<double> own = sigmoid(objective->state().parameters[1].second.flat().detached()).values();
  std::vector<double> used = objective->feature_mask().values();
  EXPECT_GT(relative_error(used, own), 1e-3) << "they stand elsewhere";
  std::sort(own.begin(), own.end());
  std::sort(used.begin(), used.end());
  EXPECT_EQ(used, own);
  EXPECT_NE(train(tiny({{"metamask.mask_use", "permuted"}})).losses.back(), train(tiny()).losses.back());
  EXPECT_THROW(small_objective(tiny({{"metamask.mask_use", "permuted"}, {"metamask.fused", "on"}})), UsageError);
}

TEST(MetaMask, WithoutTheSecondOrderTheMaskGoesElsewhere) {
  const Outcome exact = train(tiny()), first = train(tiny({{"metamask.second_order", "none"}}));
  EXPECT_GT(relative_error(first.mask, exact.mask), 1e-2);
  const Outcome difference =
      train(tiny({{"metamask.second_order", "finite_difference"}, {"metamask.radius", "1e-5"}}), 1);
  EXPECT_LT(relative_error(difference.mask, train(tiny(), 1).mask), 1e-3);
}

TEST(MetaMask, EverySwitchOfTheVirtualStepMatters) {
  const Outcome usual = train(tiny());
  EXPECT_GT(relative_error(train(tiny({{"metamask.virtual_step", "plain"}})).mask, usual.mask), 1e-6);
  EXPECT_GT(relative_error(train(tiny({{"metamask.meta_loss", "full"}})).mask, usual.mask), 1e-3);
  EXPECT_GT(relative_error(train(tiny({{"metamask.fused", "on"}})).mask, usual.mask), 1e-6);
}

/// Where the weights stand still, old and new ones are the same, and the mask's gradient with them.
TEST(MetaMask, FusedIsTheSameWhereNothingMoves) {
  for (const char* loss : {"contrastive", "full"}) {
    const Outcome usual = train(tiny({{"metamask.meta_loss", loss}}), 1, 0);
    const Outcome fused = train(tiny({{"metamask.meta_loss", loss}, {"metamask.fused", "on"}}), 1, 0);
    EXPECT_LT(relative_error(fused.mask, usual.mask), 1e-10) << loss;
    EXPECT_EQ(fused.losses, usual.losses);
  }
  // With a rate the fused step's weights are those of a regular step all the same.
  EXPECT_LT(relative_error(train(tiny({{"metamask.fused", "on"}}), 1).weights, train(tiny(), 1).weights), 1e-12);
}

/// The meta step on another batch is that of a fused step on this batch by itself: both start from the same weights.
TEST(MetaMask, AMetaStepOnOtherImages) {
  Options options = tiny({{"metamask.mask_momentum", "0"}, {"metamask.mask_weight_decay", "0"}});
  const auto batch = [](std::uint64_t stream) { return doubled(random_views(6, 8, stream, cpu_backend())).both; };
  const auto mask_of = [](Objective& objective) { return objective.state().parameters[1].second.flat().values(); };
  const StepContext still{.lr = 0.01, .lr_share = 0, .images = 6}, moving{.lr = 0.01, .images = 6};
  set_option(options, "metamask.meta_batch", "fresh");
  const auto fresh = small_objective(options);
  EXPECT_EQ(fresh->fresh_views(), FreshViews::other_images);
  EXPECT_THROW(fresh->step({.both = batch(7)}, moving), Error) << "it does not take the batch's own views instead";
  fresh->step({.both = batch(7), .fresh = batch(8)}, moving);
  set_option(options, "metamask.meta_batch", "same");
  set_option(options, "metamask.fused", "on");
  const auto fused = small_objective(options);
  EXPECT_EQ(fused->fresh_views(), FreshViews::none);
  fused->step({.both = batch(7)}, still);
  fused->step({.both = batch(8)}, moving);
  EXPECT_LT(relative_error(mask_of(*fresh), mask_of(*fused)), 1e-10);
  set_option(options, "metamask.meta_batch", "fresh");
  EXPECT_THROW(small_objective(options), UsageError);  // a fused step has one batch
}

TEST(MetaMask, LogsBothEstimators) {
  const Options options = tiny({{"metamask.compare", "on"}});
  const auto objective = small_objective(options, DType::f32);
  const Step step = objective->step(random_views(6, 8, 1, cpu_backend()), {.lr = 0.01, .images = 6});
  std::vector<std::string> names;
  for (const auto& [name, value] : step.parts) {
    names.push_back(name);
    EXPECT_TRUE(std::isfinite(value.item())) << name;
    EXPECT_EQ(value.shape.rank(), 0) << name;
  }
  for (const char* name : {"mask_min", "mask_mean", "mask_max", "direct_norm", "second_order_norm", "cosine",
                           "exact_product_norm", "difference_product_norm", "product_cosine"})
    EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
  EXPECT_EQ(objective->feature_mask().size(), 16);
}

TEST(MetaMask, LogsItsSecondOrderPartHoweverSmall) {
  const auto logged = [](double lr) {
    const auto objective = small_objective(tiny());
    const Step step = objective->step(random_batch(1), {.lr = lr, .images = small_batch});
    return std::pair{part(step, "second_order_norm") / lr, part(step, "cosine")};
  };
  // At the end of a schedule it is proportional to the rate, far below the rounding of the whole gradient.
  const auto [norm, cosine] = logged(1e-14);
  const auto [last_norm, last_cosine] = logged(1e-24);
  EXPECT_NEAR(last_norm / norm, 1, 1e-4);
  EXPECT_NEAR(last_cosine, cosine, 1e-4);
}

TEST(MetaMask, RefusesAVirtualStepThatItsOptimizerDoesNotTake) {
  Options options = tiny();
  options.optimizer = OptimizerKind::adam;
  EXPECT_THROW(small_objective(options, DType::f32), UsageError);
  set_option(options, "metamask.virtual_step", "plain");
  EXPECT_NO_THROW(small_objective(options, DType::f32));
}

TEST(MetaMask, TheVirtualStepHasNoNesterovMomentumAndDecaysAllWeights) {
  for (const std::string name : {"nesterov", "exclude-1d"}) {
    Options options = tiny();
    set_options(options, {{"optimizer", "sgd"}, {"momentum", "0.9"}, {"weight-decay", "0.01"}, {name, "on"}});
    for (const bool resume : {false, true}) {  // the flag alone restores nothing
      options.resume = resume;
      EXPECT_EQ(
          message_of([&] { small_objective(options, DType::f32); }),
          join("--metamask.virtual_step: 'momentum' needs --", name, " off; expected plain with --", name, " on"));
    }
    for (const Switches& more : {Switches{{"metamask.virtual_step", "plain"}}, Switches{{"metamask.meta", "off"}}}) {
      Options other = options;
      set_options(other, more);
      EXPECT_NO_THROW(small_objective(other, DType::f32));
    }
    EXPECT_NO_THROW(begun_objective(options, DType::f32)) << "as earlier versions trained it";
  }
  Options options = tiny();
  set_options(options, {{"optimizer", "sgd"}, {"weight-decay", "0"}, {"exclude-1d", "on"}});
  EXPECT_NO_THROW(small_objective(options, DType::f32)) << "nothing decays";
}

}  // namespace
}  // namespace vergence::test
