// Training with ICL-MSR: the regularizer's gradient against differentiation through the whole virtual step, written
// down once more by hand; what must reproduce the base; which steps train what; resumed runs.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "engine/graph.h"
#include "ssl/method.h"
#include "ssl/objectives/icl_msr/options.h"
#include "ssl/objectives/icl_msr/strata.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/vectors.h"

namespace vergence {
namespace {

Options tiny(const std::string& objective, const Switches& switches = {}) {
  Options options = small_options(objective);
  options.joint_head_norm = true;
  set_option(options, "simclr.batch_norm", "on");
  set_option(options, "simclr.temperature", "0.5");
  set_option(options, "icl_msr.strata", "3");
  set_option(options, "icl_msr.hidden", "10");
  set_option(options, "icl_msr.virtual_lr", "0.01");
  set_option(options, "icl_msr.initial_deviation", "0.01");
  set_option(options, "icl_msr.gamma", "0.1");
  set_option(options, "icl_msr.outer_views", "same");
  set_options(options, switches);
  return options;
}

/// Random scales, shifts and biases, so that nothing is as special as it begins.
void stir(Objective& objective) {
  std::uint64_t stream = 500;
  for (const char* name : {"model", "regularizer"}) {
    const ParameterSet set = set_of(objective, name);
    for (const Tensor& tensor : set.tensors())
      if (tensor.shape.rank() == 1)
        assign(tensor, tensor.detached() + 0.3 * random_tensor(tensor.shape, ++stream, tensor.dtype));
  }
}

// ---- the regularizer's gradient

const Switches plain_sgd{{"icl_msr.meta_optimizer", "sgd"},
                         {"icl_msr.meta_lr", "1"},
                         {"icl_msr.meta_momentum", "0"},
                         {"icl_msr.virtual_lr", "0.1"},
                         {"icl_msr.gamma", "0.3"},
                         {"icl_msr.lambda", "0.7"},
                         {"momentum", "0"},
                         {"weight-decay", "0"}};

Switches with(Switches first, const Switches& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

/// Values of an objective's parameters at one time.
struct Snapshot {
  Tensors model;
  Tensor regularizer, target;

  explicit Snapshot(Objective& objective) {
    const ParameterSet trained = set_of(objective, "model");
    for (const Tensor& tensor : trained.tensors()) model.push_back(clone(tensor.detached()));
    regularizer = clone(set_of(objective, "regularizer").flat());
    for (const auto& [name, set] : objective.state().parameters)
      if (name == "target") target = clone(set.flat());
  }
};

/// The reference: the same network, all strata at once; of the objective it uses only the parameters' values.
class Reference {
 public:
  Reference(const ObjectiveSetup& setup, const Snapshot& network, const Tensor& regularizer)
      : options_(setup.options.components.get<IclMsrOptions>()),
        encoder_(make_encoder(setup.encoder, setup.init())),
        base_(make_method(options_.base, "base", setup, encoder_)),
        regularizer_(regularizer_settings(options_, setup.encoder), setup.init()),
        phi_(regularizer_.parameters()) {
    trained_ = parameters_of(encoder_);
    for (Mlp* head : base_->heads())
      for (const NamedTensor& parameter : parameters_of(*head)) trained_.push_back(parameter);
    for (const Tensor& tensor : network.model) theta_.push_back(leaf(tensor));
    if (network.target) assign(base_->target()->parameters().flat(), network.target);
    assign(phi_.flat(), regularizer);
    regularizer_.prepare(setup.init().seed, 0, small_batch);
  }

  /// Of the loss of an ordinary step, by the weights.
  std::vector<double> ordinary_gradient(const Views& views) {
    std::vector<double> all;
    for (const Tensor& gradient : grad({loss(theta_, views, weights(views).detached())}, theta_))
      for (const double value : gradient.values()) all.push_back(value);
    return all;
  }

  /// By the regularizer's parameters: of the loss of an ordinary step, or of the outer loss after a virtual step.
  std::vector<double> gradient(const Views& views) {
    const Tensor strata = weights(views);
    const Tensor inner = loss(theta_, views, strata), uniform = options_.gamma * uniformity(strata);
    Tensor whole = inner;
    if (options_.train == RegularizerTraining::meta) {
      const Tensors gradient = grad({inner}, theta_, {.create = true});
      Tensors moved;
      for (std::size_t i = 0; i < theta_.size(); ++i) moved.push_back(theta_[i] - options_.virtual_lr * gradient[i]);
      whole = loss(moved, {.both = views.fresh ? views.fresh : views.both}, {});
    }
    phi_.gather_gradients(grad({whole + uniform}, phi_.tensors()));
    return phi_.gradient().values();
  }

 private:
  void put(const Tensors& values) {
    for (std::size_t i = 0; i < values.size(); ++i) *trained_.at(i).tensor = values[i];
  }

  Tensor weights(const Views& views) {
    Tensors constants;
    for (const Tensor& tensor : theta_) constants.push_back(tensor.detached());
    put(constants);
    return regularizer_(views.plain, [this](const Tensor& plain) { return encoder_(plain, {}); },
                        {.activations = DType::f64});
  }

  Tensor loss(const Tensors& values, const Views& views, const Tensor& strata) {
    put(values);
    const ForwardMode encoder_pass{.groups = 2}, head_pass{};
    const Tensor features = encoder_(views.both, encoder_pass);
    const Tensor target = base_->target() ? base_->target()->features(views.both, encoder_pass) : Tensor{};
    const auto embeddings = [&](const Tensor& row) {
      const auto under = [&](const Tensor& x) { return row && x ? mask_scale(x, row) : x; };
      Embeddings result;
      if (target) result.target = base_->embed_target(under(target), head_pass).detached();
      result.online = base_->embed(under(features), head_pass);
      return result;
    };
    Tensor base = base_->loss(embeddings({}));
    if (!strata) return base;
    std::vector<Embeddings> all;
    for (std::int64_t t = 0; t < strata.rows(); ++t)
      all.push_back(embeddings(reshape(slice(strata, 0, t, 1), {strata.cols()})));
    const double scale = options_.normalize ? 1 / (1 + options_.lambda) : 1;
    if (options_.average == StrataAverage::likelihood)
      return scale * (base + options_.lambda * base_->stratified_loss(all));
    Tensor sum;
    for (const Embeddings& one : all) sum = sum ? sum + base_->loss(one) : base_->loss(one);
    return scale * (base + options_.lambda / static_cast<double>(all.size()) * sum);
  }

  IclMsrOptions options_;
  Encoder encoder_;
  std::unique_ptr<Method> base_;
  SemanticRegularizer regularizer_;
  ParameterSet phi_;
  std::vector<NamedTensor> trained_;
  Tensors theta_;
};

constexpr double step_lr = 0.05;

/// The relative errors of the gradients that one step follows: SGD takes them off the parameters.
struct Errors {
  double weights, regularizer;
};

Errors errors_of_gradients(const Switches& switches) {
  const Options options = tiny("icl_msr", with(plain_sgd, switches));
  const auto objective = small_objective(options);
  stir(*objective);
  Views views = random_batch(40);
  if (objective->fresh_views() != FreshViews::none) views.fresh = random_tensor(views.both.shape, 44, DType::f64);
  const Snapshot before(*objective);
  objective->step(views, step_context(0, step_lr));
  const Snapshot after(*objective);
  std::vector<double> weights;
  for (std::size_t i = 0; i < before.model.size(); ++i)
    for (const double value : ((before.model[i] - after.model[i]) / step_lr).values()) weights.push_back(value);
  const std::vector<double> regularizer = (before.regularizer - after.regularizer).values();
  // The meta step comes after the weights' own, at the new ones; an ordinary step takes both gradients at once.
  const ObjectiveSetup same = small_setup(options);
  Reference first(same, before, before.regularizer), second(same, after, before.regularizer);
  const bool meta = options.components.get<IclMsrOptions>().train == RegularizerTraining::meta;
  return {relative_error(weights, first.ordinary_gradient(views)),
          relative_error(regularizer, (meta ? second : first).gradient(views))};
}

void expect_right_gradients(const Switches& switches) {
  const Errors errors = errors_of_gradients(switches);
  std::string text;
  for (const auto& [name, value] : switches) text += name + ' ' + value + ' ';
  EXPECT_LT(errors.weights, 1e-8) << text;
  EXPECT_LT(errors.regularizer, 1e-8) << text;
}

TEST(IclMsr, MetaGradientEqualsTheUnrolledOne) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    for (const char* build : {"table", "features", "images"})
      for (const char* streaming : {"on", "off"})
        expect_right_gradients({{"icl_msr.base", base}, {"icl_msr.build", build}, {"icl_msr.streaming", streaming}});
}

TEST(IclMsr, MetaGradientOfTheSumAsItIs) {
  for (const char* base : {"simclr", "byol"})
    for (const char* streaming : {"on", "off"})
      expect_right_gradients({{"icl_msr.base", base}, {"icl_msr.normalize", "off"}, {"icl_msr.streaming", streaming}});
}

TEST(IclMsr, TheLossIsTheWeightedMeanOfBoth) {
  for (const char* normalize : {"on", "off"}) {
    const auto objective =
        small_objective(tiny("icl_msr", {{"icl_msr.lambda", "3"}, {"icl_msr.normalize", normalize}}));
    const Step step = objective->step(random_batch(1), step_context(0));
    const double sum = part(step, "base") + 3 * part(step, "stratified");
    EXPECT_NEAR(step.loss.item(), std::string(normalize) == "on" ? sum / 4 : sum, 1e-12);
  }
}

TEST(IclMsr, TheVirtualStepIsAsLongAsARealOne) {
  Options run;
  run.lr = 0.06, run.batch = 512, run.momentum = 0.9;
  EXPECT_NEAR(virtual_rate({}, run), 1.2, 1e-12);
  run.optimizer = OptimizerKind::adam;
  EXPECT_EQ(virtual_rate({}, run), 0.5);
  IclMsrOptions options;
  options.virtual_lr = 0.25;
  EXPECT_EQ(virtual_rate(options, run), 0.25);
}

TEST(IclMsr, TheRegularizersOptimizerHasItsOwnOptions) {
  IclMsrOptions options;
  options.meta_momentum = 0.3, options.meta_weight_decay = 0.4;
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam}) {
    options.meta_optimizer = kind;
    const OptimizerSettings settings = meta_optimizer_settings(options);
    EXPECT_EQ(settings.kind, kind);
    EXPECT_EQ(settings.momentum, 0.3);
    EXPECT_EQ(settings.weight_decay, 0.4);
  }
}

TEST(IclMsr, WarnsWhereTheUniformityTrainsTheRegularizer) {
  const auto of = [](const PartValues& parts, std::int64_t step, const Switches& switches = {}) {
    return small_objective(tiny("icl_msr", switches))->warning(parts, step);
  };
  const PartValues drowned{{"second_order_norm", 0.001}, {"uniformity_norm", 0.004}};
  EXPECT_NE(of(drowned, 40).find("(gradient norm 0.004) more than the loss after the virtual step (0.001)"),
            std::string::npos);
  EXPECT_EQ(of(drowned, 5), "");
  EXPECT_EQ(of({{"second_order_norm", 0.005}, {"uniformity_norm", 0.004}}, 40), "");
  EXPECT_EQ(of({}, 40), "") << "a step that does not train the regularizer";
  EXPECT_EQ(of(drowned, 40, {{"icl_msr.second_order", "none"}}), "");
}

TEST(IclMsr, MetaGradientOfMeanLogLikelihoods) {
  for (const char* streaming : {"on", "off"})
    expect_right_gradients({{"icl_msr.average", "log_likelihood"}, {"icl_msr.streaming", streaming}});
}

TEST(IclMsr, MetaGradientWithFreshViewsBehindTheVirtualStep) {
  for (const char* base : {"simclr", "byol"})
    expect_right_gradients({{"icl_msr.base", base}, {"icl_msr.outer_views", "fresh"}});
  const auto asks = [](const Switches& switches) { return small_objective(tiny("icl_msr", switches))->fresh_views(); };
  EXPECT_EQ(asks({}), FreshViews::none);
  EXPECT_EQ(asks({{"icl_msr.outer_views", "fresh"}}), FreshViews::same_images);
  EXPECT_EQ(asks({{"icl_msr.outer_views", "fresh"}, {"icl_msr.train", "ordinary"}}), FreshViews::none);
  const Options options = tiny("icl_msr", {{"icl_msr.outer_views", "fresh"}});
  EXPECT_THROW(small_objective(options)->step(random_batch(1), step_context(0)), Error)
      << "it does not take the batch's own views instead";
}

TEST(IclMsr, OrdinaryTrainingFollowsTheStepsOwnLoss) {
  for (const char* base : {"simclr", "byol"})
    for (const char* streaming : {"on", "off"})
      expect_right_gradients({{"icl_msr.base", base}, {"icl_msr.train", "ordinary"}, {"icl_msr.streaming", streaming}});
}

std::vector<double> meta_gradient_of(const Switches& switches, DType dtype = DType::f64, std::uint64_t batch = 40) {
  const Options options = tiny("icl_msr", with(plain_sgd, switches));
  const auto objective = small_objective(options, dtype);
  const Snapshot before(*objective);
  objective->step(random_batch(batch, dtype), step_context(0));
  return (before.regularizer - Snapshot(*objective).regularizer).values();
}

TEST(IclMsr, SecondOrderIsASwitch) {
  const Switches none{{"icl_msr.second_order", "none"}}, without_uniformity{{"icl_msr.gamma", "0"}};
  // What is left without it is the uniformity term: as with a weight of zero for the contrastive part.
  EXPECT_EQ(meta_gradient_of(none), meta_gradient_of({{"icl_msr.lambda", "0"}}));
  EXPECT_EQ(length(meta_gradient_of(with(none, without_uniformity))), 0);
  const std::vector<double> exact = meta_gradient_of(without_uniformity);
  EXPECT_GT(length(exact), 1e-6);
  for (const char* streaming : {"on", "off"}) {
    const Switches differences = with(
        without_uniformity,
        {{"icl_msr.second_order", "finite_difference"}, {"icl_msr.radius", "1e-6"}, {"icl_msr.streaming", streaming}});
    EXPECT_LT(relative_error(meta_gradient_of(differences), exact), 1e-4) << streaming;
  }
}

/// To what the batch norms of so small a network make of the last bits. A unit whose input lies within rounding of 0
/// may switch, which moves the gradient by its share: that happens to single batches, so the middle one of several
/// counts.
TEST(IclMsr, SinglePrecisionFollowsTheSameGradient) {
  for (const char* base : {"simclr", "byol", "barlow_twins"}) {
    const Switches switches{{"icl_msr.base", base}};
    std::vector<double> errors;
    for (std::uint64_t batch = 40; batch < 90; batch += 10)
      errors.push_back(
          relative_error(meta_gradient_of(switches, DType::f32, batch), meta_gradient_of(switches, DType::f64, batch)));
    std::sort(errors.begin(), errors.end());
    EXPECT_LT(errors[errors.size() / 2], 5e-3) << base;
    EXPECT_LT(errors.back(), 0.5) << base;
  }
}

TEST(IclMsr, BothEstimatorsAreLogged) {
  const Options options = tiny("icl_msr", {{"icl_msr.compare", "on"}, {"icl_msr.radius", "1e-6"}});
  const auto objective = small_objective(options);
  std::set<std::string> names;
  const Step step = objective->step(random_batch(1), step_context(0, 0.1));
  for (const auto& [name, value] : step.parts) {
    names.insert(name);
    EXPECT_TRUE(std::isfinite(value.item())) << name;
    if (name == "product_cosine") {
      EXPECT_GT(value.item(), 0.999);
    }
  }
  for (const char* name :
       {"base", "stratified", "uniformity", "strata_mean", "strata_spread", "meta_loss", "second_order_norm",
        "uniformity_norm", "regularizer_gradient_norm", "exact_product_norm", "product_cosine"})
    EXPECT_TRUE(names.count(name)) << name;
}

// ---- what must not change anything

struct Trained {
  std::vector<double> losses, parameters, running;
  bool operator==(const Trained&) const = default;
};

Trained train(const Options& options, std::int64_t steps, double lr = 0.05) {
  const auto objective = small_objective(options, DType::f32);
  Trained result;
  for (std::int64_t step = 0; step < steps; ++step) {
    const Views views = random_batch(10 + 2 * static_cast<std::uint64_t>(step), DType::f32);
    result.losses.push_back(objective->step(views, step_context(step, lr)).loss.item());
  }
  for (const auto& [set, parameters] : objective->state().parameters)
    if (set != "regularizer")
      for (const double value : parameters.flat().values()) result.parameters.push_back(value);
  for (const auto& [name, layer] : objective->statistics().layers)
    for (const Tensor& tensor : {layer.mean, layer.variance})
      for (const double value : tensor.values()) result.running.push_back(value);
  return result;
}

TEST(IclMsr, WithLambdaZeroIsTheBaseBitForBit) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    for (const bool joint : {true, false}) {
      Options plain = tiny(base);
      plain.joint_head_norm = joint;
      const Trained expected = train(plain, 4);
      for (const char* build : {"table", "features", "images"})
        for (const char* how : {"meta", "ordinary", "fixed"}) {
          Options options =
              tiny("icl_msr",
                   {{"icl_msr.base", base}, {"icl_msr.lambda", "0"}, {"icl_msr.build", build}, {"icl_msr.train", how}});
          options.joint_head_norm = joint;
          EXPECT_TRUE(train(options, 4) == expected) << base << ' ' << build << ' ' << how;
        }
    }
}

TEST(IclMsr, NothingButTheBasesPassUpdatesRunningStatistics) {
  for (const char* base : {"simclr", "byol", "barlow_twins"}) {
    const Trained expected = train(tiny(base), 1);
    for (const char* build : {"features", "images"})
      for (const char* streaming : {"on", "off"}) {
        const Trained found = train(
            tiny("icl_msr", {{"icl_msr.base", base}, {"icl_msr.build", build}, {"icl_msr.streaming", streaming}}), 1);
        EXPECT_EQ(found.running, expected.running) << base << ' ' << build << ' ' << streaming;
        EXPECT_NE(found.parameters, expected.parameters) << "or this test shows nothing";
      }
  }
}

TEST(IclMsr, StreamingChangesNothingButRounding) {
  for (const char* base : {"simclr", "byol", "barlow_twins"}) {
    const Switches switches{{"icl_msr.base", base}};
    const auto losses = [&](const char* streaming) {
      const Options options = tiny("icl_msr", with(switches, {{"icl_msr.streaming", streaming}}));
      const auto objective = small_objective(options);
      std::vector<double> all;
      for (std::int64_t step = 0; step < 3; ++step)
        all.push_back(objective->step(random_batch(10), step_context(step, 0.01)).loss.item());
      const std::vector<double> phi = set_of(*objective, "regularizer").flat().values();
      all.insert(all.end(), phi.begin(), phi.end());
      return all;
    };
    EXPECT_LT(relative_error(losses("on"), losses("off")), 1e-9) << base;
  }
}

TEST(IclMsr, OneStratumOfOnesIsTheBase) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    for (const char* average : {"likelihood", "log_likelihood"}) {
      const Options options = tiny(
          "icl_msr",
          {{"icl_msr.base", base}, {"icl_msr.average", average}, {"icl_msr.strata", "1"}, {"icl_msr.build", "table"}});
      const auto objective = small_objective(options);
      const Tensor table = set_of(*objective, "regularizer").tensors()[0];
      assign(table, full(cpu_backend(), table.shape, 50, DType::f64));  // a sigmoid of 1
      const Step step = objective->step(random_batch(1), step_context(0));
      const double plain = part(step, "base");
      EXPECT_NEAR(plain, part(step, "stratified"), 1e-13 * std::abs(plain)) << base << ' ' << average;
    }
}

// ---- which steps train what

TEST(IclMsr, EveryKthStepTrainsTheRegularizer) {
  for (const char* how : {"meta", "ordinary", "fixed"}) {
    const Options options = tiny("icl_msr", {{"icl_msr.every", "3"}, {"icl_msr.train", how}});
    const auto objective = small_objective(options);
    const ParameterSet phi = set_of(*objective, "regularizer"), model = set_of(*objective, "model");
    for (std::int64_t step = 0; step < 7; ++step) {
      const std::vector<double> before = phi.flat().values(), weights = model.flat().values();
      objective->step(random_batch(1), step_context(step, 0.01));
      const bool due = step % 3 == 0 && std::string(how) != "fixed";
      EXPECT_EQ(phi.flat().values() != before, due) << how << " step " << step;
      EXPECT_EQ(objective->step_kind(), due ? 1 : 0);
      EXPECT_NE(model.flat().values(), weights);
    }
  }
}

TEST(IclMsr, StrataDifferFromTheStart) {
  const auto spread_of = [](const char* how, const char* deviation) {
    const auto objective = small_objective(tiny(
        "icl_msr", {{"icl_msr.build", "table"}, {"icl_msr.train", how}, {"icl_msr.initial_deviation", deviation}}));
    return part(objective->step(random_batch(1), step_context(0)), "strata_spread");
  };
  // By default the logits' deviation is 1 where they stay, else 1/2. The sigmoid's slope is at most 1/4, three strata
  // spread by less than many.
  EXPECT_GT(spread_of("fixed", "0"), 0.1);
  EXPECT_GT(spread_of("meta", "0"), 0.05);
  EXPECT_LT(spread_of("meta", "0"), spread_of("fixed", "0"));
  EXPECT_GT(spread_of("meta", "0.01"), 0);
  EXPECT_LT(spread_of("meta", "0.01"), 0.01);
}

TEST(IclMsr, RefusesWhatCannotBe) {
  const auto message = [](const Options& options) { return error_or("", [&] { small_objective(options); }); };
  const std::string many = std::to_string(small_batch + 1);
  EXPECT_NE(message(tiny("icl_msr", {{"icl_msr.strata", many}})).find("--icl_msr.strata"), std::string::npos);
  EXPECT_EQ(message(tiny("icl_msr", {{"icl_msr.strata", many}, {"icl_msr.build", "table"}})), "");
  for (const auto& [name, value] : Switches{{"icl_msr.base", "dsa"},
                                            {"icl_msr.build", "B1"},
                                            {"icl_msr.strata", "0"},
                                            {"icl_msr.second_order", "half"},
                                            {"icl_msr.every", "0"}}) {
    Options options = tiny("icl_msr");
    EXPECT_THROW(set_option(options, name, value), UsageError) << name;
  }
}

// ---- whole runs

TEST(IclMsr, ResumedRunEqualsAnUninterruptedOneBitForBit) {
  const TemporaryFolder folder;
  for (const char* base : {"simclr", "byol"}) {
    Options options = tiny("icl_msr", {{"icl_msr.base", base}, {"icl_msr.every", "2"}});
    options.image_size = 16, options.limit = 40, options.batch = 8, options.epochs = 2;
    expect_resumed_equals_whole(folder, base, options, 10, {1, 4, 0});
  }
}

}  // namespace
}  // namespace vergence
