// Training with DSA: the loss of each base against its formula written down once more, its gradient against central
// differences, what must reproduce the base, the priors and their temperature, resumed runs.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/losses.h"
#include "ssl/method.h"
#include "ssl/objectives/dsa/loss.h"
#include "ssl/objectives/dsa/options.h"
#include "tests/support/complaints.h"
#include "tests/support/objective_checks.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

Options tiny(const std::string& objective, const Switches& switches = {}) {
  Options options = small_options(objective);
  set_option(options, "dsa.prior_net", "random");
  set_option(options, "dsa.eta", "3");
  set_option(options, "dsa.mu", "1");
  set_option(options, "dsa.lambda2", "0.3");
  set_options(options, switches);
  return options;
}

Tensor parameter(Objective& objective, const std::string& name) {
  const ParameterSet set = set_of(objective, "model");
  return set.tensors()[set.index_of(name)].detached();
}

bool has_parameter(Objective& objective, const std::string& name) {
  const auto names = set_of(objective, "model").names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

// ---- the loss, once more by hand

struct ByHand {
  double base, adjusting, prior;
};

/// Everything from the objective's weights, with the parts that dsa_test checks.
ByHand by_hand(const Options& options, Objective& objective, const Views& views, double tau) {
  const DsaOptions dsa = options.components.get<DsaOptions>();
  const ObjectiveSetup setup = small_setup(options);
  const Encoder& encoder = objective.encoder();
  const auto base = make_method(dsa.base, "test", setup, encoder);  // the same initial weights
  const ForwardMode pass{.groups = 2, .activations = DType::f64};
  Embeddings z{base->embed(encoder(views.both, pass), pass), {}};
  if (base->target()) z.target = base->embed_target(base->target()->features(views.both, pass), pass);
  const Tensor other = z.target ? z.target : z.online;
  const std::array<Tensor, 4> p{view(z.online, 0), view(z.online, 1), view(z.online, 0), view(z.online, 1)};
  const std::array<Tensor, 4> q{p[0], p[1], view(other, 1), view(other, 0)};

  const auto network = make_prior(resolve(dsa, small_batch).network, setup, encoder);
  const Tensor u = network->features(views.both, pass);
  const ForwardMode single{.groups = 1, .activations = DType::f64};
  const Tensor scores = anchor_scores(neighbors(network->features(views.plain, single), dsa.eta), dsa.eta, dsa.mu);
  Arranging module = make_arranging(ArrangingMode::concat, ArrangingOutput::sigmoid, 6, {cpu_backend(), 1, DType::f64});
  Blocks apart, matrices, prior;
  for (std::size_t k = 0; k < 4; ++k) {
    const int first = k == 1 || k == 3, second = k == 1 || k == 2;
    prior[k] = exp(-1 / tau * unit_distances(view(u, first), view(u, second)));
    apart[k] = unit_distances(p[k], q[k]);
    matrices[k] = dsa.am_mode == MatrixSource::none ? prior[k] : module(p[k], q[k]);
  }
  return {base->loss(z).item(),
          adjusting_loss(apart, matrices, dsa.score == Score::ones ? Tensor{} : scores, dsa.tau_w).item(),
          prior_loss(matrices, prior, false).item()};
}

TEST(DsaObjective, IsTheSumOfItsThreeLossesOnEveryBase) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    for (const char* mode : {"concat", "none"})
      for (const char* score : {"good_neighbor", "ones"}) {
        const Options options = tiny("dsa", {{"dsa.base", base},
                                             {"dsa.am_mode", mode},
                                             {"dsa.score", score},
                                             {"dsa.prior_temperature", "fixed"},
                                             {"dsa.tau_p", "0.4"},
                                             {"dsa.lambda1", "0.7"}});
        const auto objective = small_objective(options);
        const Views views = random_batch(1);
        const ByHand expected = by_hand(options, *objective, views, 0.4);
        const Step step = objective->step(views, step_context(0));
        const bool learned = std::string(mode) == "concat";
        EXPECT_NEAR(part(step, "base"), expected.base, 1e-12);
        EXPECT_NEAR(part(step, "adjusting"), expected.adjusting, 1e-12);
        if (learned) {
          EXPECT_NEAR(part(step, "prior"), expected.prior, 1e-12);
        }
        const double total = expected.base + 0.7 * expected.adjusting + (learned ? 0.3 * expected.prior : 0);
        EXPECT_NEAR(step.loss.item(), total, 1e-12) << base << " " << mode << " " << score;
        EXPECT_EQ(has_parameter(*objective, "arranging.0.weight"), learned);
        EXPECT_EQ(objective->needs_plain(), std::string(score) == "good_neighbor");
        ASSERT_EQ(step.distributions.size(), objective->needs_plain() ? 1u : 0u);
        for (const auto& [name, scores] : step.distributions)
          EXPECT_NEAR(mean(scores).item(), part(step, "score"), 1e-12) << name;
      }
}

TEST(DsaObjective, AStepFollowsTheGradientOfItsLoss) {
  const std::vector<Switches> cases = {{},
                                       {{"dsa.base", "byol"}, {"byol.momentum", "1"}},  // a target that stays
                                       {{"dsa.base", "barlow_twins"}},
                                       {{"dsa.am_act", "relu"}},
                                       {{"dsa.am_mode", "none"}},
                                       {{"dsa.am_mode", "diff_l1"}, {"dsa.cross", "same_view"}}};
  for (const Switches& switches : cases) {
    Options options = tiny("dsa", switches);
    set_option(options, "dsa.detach_z_in_am", "off");
    expect_step_follows_gradient(options, random_batch(1), step_context(0), switches.empty() ? "" : switches[0].second);
  }
}

// ---- what must be the base

struct Trained {
  std::vector<double> losses, parameters, running;
};

Trained train(const Options& options, const std::string& of) {
  const auto objective = small_objective(options, DType::f32);
  Trained result;
  for (std::int64_t step = 0; step < 4; ++step)
    result.losses.push_back(
        objective->step(random_batch(static_cast<std::uint64_t>(10 * step), DType::f32), step_context(step, 0.1))
            .loss.item());
  const ParameterSet set = set_of(*objective, "model");
  for (std::size_t i = 0; i < set.count(); ++i)
    if (set.names()[i].starts_with(of))
      for (const double value : set.tensors()[i].values()) result.parameters.push_back(value);
  for (const auto& [name, layer] : objective->statistics().layers)
    for (const double value : layer.variance.values()) result.running.push_back(value);
  return result;
}

TEST(DsaObjective, WithoutItsLossesItIsTheBaseBitForBit) {
  for (const char* base : {"simclr", "byol", "barlow_twins"}) {
    const Trained plain = train(tiny(base), ""),
                  off = train(tiny("dsa", {{"dsa.base", base}, {"dsa.lambda1", "0"}, {"dsa.lambda2", "0"}}), "");
    EXPECT_EQ(off.losses, plain.losses) << base;
    EXPECT_EQ(off.parameters, plain.parameters) << base;
    EXPECT_EQ(off.running, plain.running) << base;
    EXPECT_NE(train(tiny("dsa", {{"dsa.base", base}}), "encoder.").parameters,
              train(tiny(base), "encoder.").parameters);
  }
}

TEST(DsaObjective, DetachedEmbeddingsAreTrainedByTheAdjustingLossAlone) {
  const Switches prior_alone = {{"dsa.lambda1", "0"}, {"dsa.detach_z_in_am", "on"}};
  EXPECT_EQ(train(tiny("dsa", prior_alone), "encoder.").parameters, train(tiny("simclr"), "encoder.").parameters);
  EXPECT_NE(train(tiny("dsa", {{"dsa.lambda1", "0"}, {"dsa.detach_z_in_am", "off"}}), "encoder.").parameters,
            train(tiny("simclr"), "encoder.").parameters);
}

TEST(DsaObjective, ByDefaultNoGradientOfThePriorLossReachesTheEncoder) {
  for (const char* base : {"simclr", "byol", "barlow_twins"})
    EXPECT_EQ(train(tiny("dsa", {{"dsa.base", base}, {"dsa.lambda1", "0"}}), "encoder.").parameters,
              train(tiny(base), "encoder.").parameters)
        << base;
}

TEST(DsaObjective, TheAdjustingLossIsOffThenRises) {
  DsaOptions options;
  options.warmup = 0.25, options.ramp = 0.5;
  const std::vector<double> expected{0, 0, 0.25, 0.5, 0.75, 1, 1, 1};
  for (std::int64_t step = 0; step < 8; ++step)
    EXPECT_NEAR(adjusting_share(options, step, 8), expected[static_cast<std::size_t>(step)], 1e-12) << step;
  options.ramp = 0;
  EXPECT_EQ(adjusting_share(options, 1, 8), 0);
  EXPECT_EQ(adjusting_share(options, 2, 8), 1);
  EXPECT_EQ(adjusting_share({}, 0, 8), 1);

  const auto objective =
      small_objective(tiny("dsa", {{"dsa.warmup", "0.25"}, {"dsa.ramp", "0.5"}, {"dsa.lambda1", "0.8"}}));
  for (std::int64_t step = 0; step < 8; ++step) {
    StepContext context = step_context(step);
    context.steps = 8;
    const Step done = objective->step(random_batch(static_cast<std::uint64_t>(10 * step)), context);
    const double weight = 0.8 * expected[static_cast<std::size_t>(step)];
    EXPECT_NEAR(done.loss.item(), part(done, "base") + weight * part(done, "adjusting") + 0.3 * part(done, "prior"),
                1e-12)
        << step;
  }
  StepContext extended = step_context(4);  // the second step of a new schedule: the whole weight goes on
  extended.first_step = 3, extended.steps = 80;
  const Step done = objective->step(random_batch(1), extended);
  EXPECT_NEAR(done.loss.item(), part(done, "base") + 0.8 * part(done, "adjusting") + 0.3 * part(done, "prior"), 1e-12);
}

TEST(DsaObjective, ADetachedMatrixIsTrainedByThePriorLossAlone) {
  Switches switches = {{"dsa.lambda2", "0"}, {"dsa.detach_M_in_adj", "on"}};
  Options options = tiny("dsa", switches);
  options.weight_decay = 0;
  const std::vector<double> start = [&] {
    const auto objective = small_objective(options, DType::f32);
    return parameter(*objective, "arranging.0.weight").values();
  }();
  EXPECT_EQ(train(options, "arranging.0.weight").parameters, start);
  switches.pop_back();
  options = tiny("dsa", switches);
  options.weight_decay = 0;
  EXPECT_NE(train(options, "arranging.0.weight").parameters, start);
}

TEST(DsaObjective, SameViewMatricesStandInForThoseAcross) {
  // With one view twice the blocks are the same anyway.
  Views views = random_batch(1);
  const Tensor first = view(views.both, 0);
  const auto adjusting = [&](const char* cross, const Views& batch) {
    return part(small_objective(tiny("dsa", {{"dsa.cross", cross}}))->step(batch, step_context(0)), "adjusting");
  };
  EXPECT_NE(adjusting("same_view", views), adjusting("true", views));
  views.both = concat({first, first}, 0);
  EXPECT_NEAR(adjusting("same_view", views), adjusting("true", views), 1e-12);
}

TEST(DsaObjective, ThePresetsSetWhatIsLeftToThem) {
  DsaOptions options;
  options.preset = DsaPreset::code;
  DsaSettings settings = resolve(options, 64);
  EXPECT_EQ(settings.mode, ArrangingMode::diff_l1);
  EXPECT_EQ(settings.output, ArrangingOutput::relu);
  EXPECT_TRUE(settings.same_view && settings.network.batch_statistics && settings.network.random_stem);
  EXPECT_EQ(settings.network.net, PriorNet::supervised);
  EXPECT_FALSE(settings.calibrates());
  EXPECT_FALSE(settings.detach_embeddings);
  options.am_act = ArrangingOutput::sigmoid;
  options.prior_net = PriorNet::ema;
  settings = resolve(options, 64);
  EXPECT_EQ(settings.output, ArrangingOutput::sigmoid);
  EXPECT_EQ(settings.network.net, PriorNet::ema);
  EXPECT_EQ(settings.mode, ArrangingMode::diff_l1);
  EXPECT_EQ(settings.temperature, PriorTemperature::fixed);
  settings = resolve({}, 64);
  EXPECT_EQ(settings.mode, ArrangingMode::concat);
  EXPECT_EQ(settings.output, ArrangingOutput::sigmoid);
  EXPECT_EQ(settings.network.net, PriorNet::stage1);
  EXPECT_TRUE(settings.detach_embeddings && !settings.same_view && !settings.network.batch_statistics);
  EXPECT_EQ(settings.temperature, PriorTemperature::calibrated);
  options = {};
  options.prior_net = PriorNet::ema;
  EXPECT_EQ(resolve(options, 64).temperature, PriorTemperature::running);
  options.prior_temperature = PriorTemperature::calibrated;
  EXPECT_EQ(resolve(options, 64).temperature, PriorTemperature::calibrated);
  EXPECT_FALSE(resolve(options, 64).mean_prior);
  options.prior_reduce = PriorReduce::mean4;
  EXPECT_TRUE(resolve(options, 64).mean_prior);
}

TEST(DsaObjective, CommonNeighborsAreCountedFromFiveTimesThoseOfARandomGraph) {
  DsaOptions options;
  options.mu = 0;
  EXPECT_EQ(resolve(options, 256).mu, 8);   // 5 * 400 / 256 = 7.8
  EXPECT_EQ(resolve(options, 1024).mu, 2);  // 1.95
  options.mu = 3;
  EXPECT_EQ(resolve(options, 256).mu, 3);
}

TEST(DsaObjective, ContradictionsAreRefused) {
  const auto of = [](const Switches& switches) { return message_of([&] { small_objective(tiny("dsa", switches)); }); };
  EXPECT_NE(of({{"dsa.base", "dsa"}}).find("--dsa.base"), std::string::npos);
  EXPECT_NE(of({{"dsa.eta", "6"}}).find("--dsa.eta: expected less than the batch of 6, got 6"), std::string::npos);
  EXPECT_NE(of({{"dsa.prior_net", "stage1"}}).find("--dsa.prior_file"), std::string::npos);
  EXPECT_NE(of({{"dsa.prior_net", "none"}, {"dsa.am_mode", "none"}}).find("--dsa.prior_net"), std::string::npos);
  EXPECT_NE(of({{"dsa.prior_net", "stage1"}, {"dsa.prior_file", "nowhere/encoder.safetensors"}}).find("nowhere"),
            std::string::npos);
  EXPECT_NE(message_of([] { tiny("dsa", {{"dsa.am_mode", "cosine"}}); }).find("concat"), std::string::npos);
  EXPECT_NE(message_of([] { tiny("dsa", {{"dsa.tau_w", "0"}}); }).find("above 0"), std::string::npos);
}

TEST(DsaObjective, ANewStemIsNotNormalizedByTheOldOnesStatistics) {
  const auto of = [](const Switches& switches) {
    Switches stage1{{"dsa.prior_net", "stage1"}, {"dsa.prior_file", "nowhere/encoder.safetensors"}};
    stage1.insert(stage1.end(), switches.begin(), switches.end());
    return message_of([&] { small_objective(tiny("dsa", stage1)); });
  };
  const std::string refused = "--dsa.prior_stem random: the running statistics belong to the file's stem";
  expect_contains(of({{"dsa.prior_stem", "random"}}), {refused, "expected it with --dsa.prior_norm batch"});
  expect_contains(of({{"dsa.preset", "dsa-code"}, {"dsa.prior_norm", "running"}}), {refused});
  for (const Switches& good :
       {Switches{{"dsa.prior_stem", "random"}, {"dsa.prior_norm", "batch"}}, Switches{{"dsa.preset", "dsa-code"}}})
    expect_contains(of(good), {"there is no file nowhere"});
}

TEST(DsaObjective, WhatWouldDoNothingIsRefusedButInARestoredRun) {
  const auto expect_refused = [](const Switches& switches, const std::string& message) {
    Options options = tiny("dsa", switches);
    for (const bool resume : {false, true}) {  // the flag alone restores nothing
      options.resume = resume;
      EXPECT_EQ(message_of([&] { small_objective(options); }), message);
    }
    EXPECT_NO_THROW(begun_objective(options)) << "as earlier versions trained it";
  };
  for (const char* net : {"ema", "random", "pixels", "none"})
    expect_refused({{"dsa.prior_net", net}, {"dsa.prior_file", "encoder.safetensors"}},
                   join("--dsa.prior_file: --dsa.prior_net ", net,
                        " reads no file; expected --dsa.prior_net stage1 with it, or supervised"));
  const std::string reason =
      ", but a neighbor has only --dsa.eta, 3, neighbors of its own, so every score would be 0; expected less than 3";
  expect_refused({{"dsa.mu", "3"}}, "--dsa.mu: 3" + reason);
  expect_refused({{"dsa.mu", "0"}},
                 "--dsa.mu: 0 means 5 eta^2 / batch, here 8" + reason + ", or a larger --batch than 6");
  EXPECT_NO_THROW(small_objective(tiny("dsa", {{"dsa.mu", "2"}})));
  EXPECT_NO_THROW(small_objective(tiny("dsa", {{"dsa.mu", "3"}, {"dsa.score", "ones"}}))) << "without scores";
}

TEST(DsaObjective, WithoutAPriorNothingTiesTheMatrix) {
  const auto objective = small_objective(tiny("dsa", {{"dsa.prior_net", "none"}}));
  EXPECT_FALSE(objective->needs_plain());
  const Step step = objective->step({random_batch(1).both, {}}, step_context(0));
  EXPECT_NEAR(step.loss.item(), part(step, "base") + part(step, "adjusting"), 1e-12);
  for (const auto& [name, value] : step.parts) EXPECT_NE(name, "prior");
}

// ---- the priors

PriorSettings settings_of(PriorNet net, const std::string& file = "") {
  PriorSettings settings;
  settings.net = net, settings.file = file;
  return settings;
}

class DsaPrior : public ::testing::Test {
 protected:
  std::unique_ptr<PriorNetwork> prior(const PriorSettings& settings) const {
    return make_prior(settings, {options_, encoder_settings(options_, small_image), cpu_backend()}, encoder_);
  }

  TemporaryFolder folder_;
  Options options_ = tiny("dsa");
  ResNet encoder_ = make_resnet(small("resnet18", 3), {cpu_backend(), 9});
  Tensor both_ = random_tensor({8, 16, 16, 3}, 1, DType::f32);
  ForwardMode pass_{.groups = 2};
};

TEST_F(DsaPrior, ReadsAnEncoder) {
  Statistics statistics;
  encoder_(random_tensor({32, 16, 16, 3}, 7, DType::f32), {.running = &statistics});
  const std::string file = folder_ / "encoder.safetensors";
  save_encoder(file, encoder_, statistics, {});
  for (const PriorNet net : {PriorNet::stage1, PriorNet::supervised}) {
    PriorSettings settings = settings_of(net, file);
    const ForwardMode evaluation{.training = false, .running = &statistics};
    EXPECT_EQ(prior(settings)->features(both_, pass_).values(), encoder_(both_, evaluation).values());
    settings.batch_statistics = true;
    const std::vector<double> by_batch = encoder_(both_, {.groups = 2}).values();
    EXPECT_EQ(prior(settings)->features(both_, pass_).values(), by_batch);
    settings.random_stem = true;
    const std::vector<double> renewed = prior(settings)->features(both_, pass_).values();
    EXPECT_NE(renewed, by_batch);
    EXPECT_EQ(prior(settings)->features(both_, pass_).values(), renewed);
  }
}

TEST_F(DsaPrior, OfARandomNetworkIsAnotherThanTheEncoderAndRepeats) {
  const std::vector<double> features = prior(settings_of(PriorNet::random))->features(both_, pass_).values();
  EXPECT_EQ(prior(settings_of(PriorNet::random))->features(both_, pass_).values(), features);
  const Encoder start =
      make_encoder(encoder_settings(options_, small_image), {cpu_backend(), static_cast<std::uint64_t>(options_.seed)});
  EXPECT_NE(start(both_, {.groups = 2}).values(), features);
}

TEST_F(DsaPrior, OfPixelsIsTheSmallImage) {
  const Tensor features = prior(settings_of(PriorNet::pixels))->features(both_, pass_);
  ASSERT_EQ(features.shape, (Shape{8, 192}));
  const std::vector<double> x = both_.values(), small = features.values();
  for (int i : {0, 7})
    for (int y : {0, 3, 7})
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int k = 0; k < 4; ++k) sum += x[((i * 16 + 2 * y + k / 2) * 16 + 2 * y + k % 2) * 3 + c] / 4;
        EXPECT_NEAR(small[i * 192 + (y * 8 + y) * 3 + c], sum, 1e-6);
      }
  const Tensor padded = pad(both_, 3, 0, 8);  // as a GPU's batches are
  EXPECT_EQ(prior(settings_of(PriorNet::pixels))->features(padded, pass_).values(), small);
  options_.image_size = 0;
  const ObjectiveSetup setup{options_, encoder_settings(options_, 20), cpu_backend()};
  EXPECT_NE(
      message_of([&] { make_prior(settings_of(PriorNet::pixels), setup, encoder_); }).find("multiple of 8, got 20"),
      std::string::npos);
}

TEST(DsaObjective, TheMomentumPriorFollowsTheEncoder) {
  const auto objective = small_objective(tiny("dsa", {{"dsa.prior_net", "ema"}, {"dsa.prior_momentum", "0.75"}}));
  expect_moving_average(*objective, "prior", 0.75, random_batch(1), step_context(0, 0.5), 1e-12);
}

TEST(DsaObjective, TheTemperatureIsTheMeanOfTheBatchesQuantiles) {
  const Options options = tiny("dsa", {{"dsa.calibration_batches", "3"}, {"dsa.quantile", "0.2"}});
  const auto objective = small_objective(options);
  const ObjectiveSetup setup = small_setup(options);
  const auto network = make_prior(settings_of(PriorNet::random), setup, objective->encoder());
  double sum = 0;
  for (std::int64_t step = 0; step < 5; ++step) {
    const Views views = random_batch(static_cast<std::uint64_t>(10 * step));
    const double tau = part(objective->step(views, step_context(step)), "tau_p");
    if (step < 3) {
      const Tensor u = network->features(views.both, {.groups = 2, .activations = DType::f64});
      const Tensor a = view(u, 0), b = view(u, 1);
      const Tensors apart{unit_distances(a, a), unit_distances(b, b), unit_distances(a, b)};
      sum += off_diagonal_quantile(apart, 0.2, 2).item() / std::log(2.0);
    }
    EXPECT_EQ(objective->step_kind(), step < 3 ? 1 : 0);
    EXPECT_NEAR(tau, sum / std::min<double>(3, static_cast<double>(step + 1)), 1e-12) << step;
  }
}

TEST(DsaObjective, ARunningTemperatureFollowsTheBatches) {
  const Options options =
      tiny("dsa", {{"dsa.prior_temperature", "running"}, {"dsa.calibration_batches", "3"}, {"dsa.quantile", "0.2"}});
  const auto objective = small_objective(options);
  const auto network = make_prior(settings_of(PriorNet::random), small_setup(options), objective->encoder());
  double expected = 0;
  for (std::int64_t step = 0; step < 6; ++step) {
    const Views views = random_batch(static_cast<std::uint64_t>(10 * step));
    const double tau = part(objective->step(views, step_context(step)), "tau_p");
    const Tensor u = network->features(views.both, {.groups = 2, .activations = DType::f64});
    const Tensor a = view(u, 0), b = view(u, 1);
    const Tensors apart{unit_distances(a, a), unit_distances(b, b), unit_distances(a, b)};
    const double now = off_diagonal_quantile(apart, 0.2, 2).item() / std::log(2.0);
    expected += (now - expected) / std::min<double>(3, static_cast<double>(step + 1));
    EXPECT_EQ(objective->step_kind(), 1);
    EXPECT_NEAR(tau, expected, 1e-12) << step;
  }
}

// ---- whole runs

TEST(DsaObjective, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  const TemporaryFolder folder;
  for (const char* base : {"simclr", "byol"}) {
    const bool simclr = std::string(base) == "simclr";
    Options options = tiny("dsa", {{"dsa.base", base},
                                   {"dsa.prior_net", "ema"},
                                   {"dsa.prior_temperature", simclr ? "calibrated" : "running"},
                                   {"dsa.calibration_batches", "6"},
                                   {"dsa.warmup", "0.25"},
                                   {"dsa.ramp", "0.5"}});
    options = small_run(options);
    options.epochs = 2;
    // Stops while the temperature is calibrated or lambda1 rises, and after.
    expect_resumed_equals_whole(folder, base, options, 8, {3, 5, 7, 0});
  }
}

}  // namespace
}  // namespace vergence
