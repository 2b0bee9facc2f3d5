// Micro-batches: every objective on every base trains as with the whole batch, in a fraction of the memory.
//
// A part's batch norms see the part. Where all parts hold the same images, its statistics are those of the whole batch,
// so steps with and without micro-batches must agree. Parts of different images: parts_test.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "ssl/method.h"
#include "tests/support/small_objectives.h"

namespace vergence {
namespace {

constexpr std::int64_t parts = 2, image = 16;

struct Setting {
  std::string name, objective;
  Switches options;
};

void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const std::string& base : method_names()) {
    all.push_back({base, base, {}});
    for (const char* objective : {"mrcl", "dsa", "icl_msr"})
      all.push_back({join(objective, "_", base), objective, {{join(objective, ".base"), base}}});
  }
  const auto add = [&](const char* name, const char* objective, const Switches& options) {
    all.push_back({name, objective, options});
  };
  add("metamask", "metamask", {});
  add("metamask_fused", "metamask", {{"metamask.fused", "on"}});
  add("metamask_full_fresh", "metamask", {{"metamask.meta_loss", "full"}, {"metamask.meta_batch", "fresh"}});
  add("metamask_difference", "metamask", {{"metamask.second_order", "finite_difference"}});
  add("icl_msr_streaming", "icl_msr", {{"icl_msr.streaming", "on"}, {"icl_msr.build", "images"}});
  add("icl_msr_fresh", "icl_msr", {{"icl_msr.outer_views", "fresh"}, {"icl_msr.build", "features"}});
  add("icl_msr_compare", "icl_msr", {{"icl_msr.compare", "on"}});
  add("mrcl_map", "mrcl", {{"mrcl.rec_input", "map"}, {"mrcl.mask_views", "one"}, {"mrcl.mask_fill", "token"}});
  add("mrcl_joint", "mrcl", {{"joint-head-norm", "on"}, {"mrcl.rec_target", "clean"}});
  add("dsa_ema", "dsa", {{"dsa.prior_net", "ema"}, {"dsa.lambda2", "0.2"}});
  return all;
}

Options options_of(const Setting& setting, std::int64_t width, std::int64_t batch) {
  Options options = small_options(setting.objective, width, batch, "16", "8");
  options.optimizer = OptimizerKind::sgd;
  options.momentum = 0.9;
  set_all(options, {"vicreg.hidden", "metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "16");
  set_all(options, {"vicreg.output", "metamask.redundancy_output", "metamask.contrastive_output", "icl_msr.hidden"},
          "8");
  set_options(options, {{"icl_msr.strata", "3"},
                        {"icl_msr.every", "1"},
                        {"icl_msr.meta_optimizer", "sgd"},  // Adam's first steps are the signs of tiny gradients
                        {"icl_msr.meta_lr", "1e-6"},
                        {"mrcl.decoder_width", "4"},
                        {"dsa.prior_net", "random"},
                        {"dsa.eta", "3"}});
  set_options(options, setting.options);
  return options;
}

/// The rows of each of the `sections` of x, `parts` times.
Tensor repeated(const Tensor& x, std::int64_t sections) {
  const std::int64_t rows = x.shape[0] / sections;
  Tensors all;
  for (std::int64_t section = 0; section < sections; ++section)
    for (std::int64_t i = 0; i < parts; ++i) all.push_back(slice(x, 0, section * rows, rows));
  return concat(all, 0);
}

struct Outcome {
  std::vector<double> losses, parameters;
  std::vector<std::vector<double>> gradients;  // of the first step: of the model, and of a mask or regularizer
};

std::vector<double> parameters_of(Objective& objective) {
  std::vector<double> all;
  for (const auto& [name, set] : objective.state().parameters)
    for (const double value : set.flat().values()) all.push_back(value);
  return all;
}

std::vector<std::vector<double>> gradients_of(Objective& objective) {
  std::vector<std::vector<double>> all;
  for (const auto& [name, set] : objective.state().parameters)
    if (set.gradient()) all.push_back(set.gradient().values());
  return all;
}

/// Steps on parts of the same images.
Outcome train(const Options& options, DType type, int steps) {
  const std::int64_t part = options.batch / parts;
  const auto objective = make_objective(small_setup(options, type, image));
  const auto random = [&](std::int64_t rows, std::uint64_t stream) {
    return random_tensor({rows, image, image, 3}, stream, type);
  };
  const Views views{repeated(random(2 * part, 1), 2), repeated(random(part, 2), 1), repeated(random(2 * part, 3), 2)};
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < parts * part; ++i) indices.push_back(i % part);
  Outcome outcome;
  const std::vector<double> first = parameters_of(*objective);
  for (std::int64_t step = 0; step < steps; ++step) {
    const StepContext context{.lr = 1e-6, .step = step, .steps = 10, .images = parts * part, .indices = indices};
    outcome.losses.push_back(objective->step(views, context).loss.item());
    if (step == 0) outcome.gradients = gradients_of(*objective);
  }
  outcome.parameters = parameters_of(*objective);
  EXPECT_NE(outcome.parameters, first);
  return outcome;
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  EXPECT_LT(std::sqrt(difference / size), tolerance);
}

class MicroBatch : public testing::TestWithParam<Setting> {};

void expect_trains_as_the_whole(Options options, DType type, int steps, double tolerance, double meta_tolerance) {
  SCOPED_TRACE(name_of(type));
  const Outcome whole = train(options, type, steps);
  options.micro_batch = options.batch / parts;
  const Outcome micro = train(options, type, steps);
  expect_close(micro.losses, whole.losses, tolerance);
  ASSERT_EQ(micro.gradients.size(), whole.gradients.size());
  for (std::size_t set = 0; set < whole.gradients.size(); ++set)
    expect_close(micro.gradients[set], whole.gradients[set], set == 0 ? tolerance : meta_tolerance);
  expect_close(micro.parameters, whole.parameters, tolerance);
}

/// In f32 the network is larger, as batch norms of few values multiply rounding; so do the second derivatives of
/// ICL-MSR's strata.
TEST_P(MicroBatch, TrainsAsTheWholeBatch) {
  expect_trains_as_the_whole(options_of(GetParam(), 2, 4 * parts), DType::f64, 5, 1e-12, 1e-11);
  expect_trains_as_the_whole(options_of(GetParam(), 4, 8 * parts), DType::f32, 1, 1e-5, 5e-4);
}

TEST_P(MicroBatch, RecomputedBlocksTrainToTheSameBits) {
  Options options = options_of(GetParam(), 2, 4 * parts);
  const Outcome kept = train(options, DType::f32, 2);
  options.recompute_blocks = true;
  const Outcome again = train(options, DType::f32, 2);
  EXPECT_EQ(again.losses, kept.losses);
  EXPECT_EQ(again.gradients[0], kept.gradients[0]);
  expect_close(again.parameters, kept.parameters, 1e-6);  // a second derivative may round differently
}

std::int64_t peak_of_a_step(const Options& options) {
  const auto objective = make_objective(small_setup(options, DType::f32, 32));
  const std::int64_t rows = 2 * options.batch;
  const Views views{random_tensor({rows, 32, 32, 3}, 1, DType::f32),
                    random_tensor({options.batch, 32, 32, 3}, 2, DType::f32),
                    random_tensor({rows, 32, 32, 3}, 3, DType::f32)};
  cpu_backend().reset_peak();
  objective->step(views, {.lr = 1e-4, .images = options.batch});
  return cpu_backend().memory().peak;
}

TEST_P(MicroBatch, OfAQuarterNeedsAtMostTwoFifthsOfTheMemory) {
  Options options = options_of(GetParam(), 8, 32);
  const auto whole = static_cast<double>(peak_of_a_step(options));
  options.micro_batch = 8;
  const auto micro = static_cast<double>(peak_of_a_step(options));
  options.micro_batch = 0, options.recompute_blocks = true;
  const auto blocks = static_cast<double>(peak_of_a_step(options));
  EXPECT_LE(micro, 0.4 * whole);
  EXPECT_LE(blocks, 0.7 * whole);
  std::cout << "peak: " << micro / whole << " of the whole batch's; recomputed blocks: " << blocks / whole << std::endl;
}

INSTANTIATE_TEST_SUITE_P(Objectives, MicroBatch, testing::ValuesIn(settings()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vergence
