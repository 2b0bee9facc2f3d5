// ICL-MSR's two kinds of step on a GPU: the losses of the CPU, and the same bits whether steps run eagerly or recorded.
#include <gtest/gtest.h>

#include "engine/ops.h"
#include "ssl/bench_step.h"
#include "ssl/option_table.h"
#include "ssl/step_runner.h"
#include "ssl/trainer.h"
#include "tests/device/device_under_test.h"

namespace vergence::test {
namespace {

struct Case {
  const char *base, *build, *second_order, *train;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.base << ' ' << c.build << ' ' << c.second_order << ' ' << c.train;
}

Options tiny(const Case& c) {
  Options options;
  options.objective = "icl_msr";
  options.width = 4;
  options.batch = 8;
  options.joint_head_norm = true;
  for (const char* layer : {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden"})
    set_option(options, layer, "16");
  for (const char* layer : {"simclr.output", "byol.output", "byol.predictor_hidden", "icl_msr.hidden"})
    set_option(options, layer, "8");
  set_option(options, "icl_msr.base", c.base);
  set_option(options, "icl_msr.build", c.build);
  set_option(options, "icl_msr.second_order", c.second_order);
  set_option(options, "icl_msr.train", c.train);
  set_option(options, "icl_msr.strata", "3");
  set_option(options, "icl_msr.every", "2");
  set_option(options, "icl_msr.initial_deviation", "0.3");
  return options;
}

struct Outcome {
  std::vector<double> losses, parameters;
  bool recorded = false;
  std::string refusal;
};

Outcome train(const Options& options, Backend& device, std::int64_t image, double lr, int steps, bool record) {
  const auto objective = make_objective({options, encoder_settings(options, image), device});
  StepRunner runner(*objective, device, record);
  Views views = random_views(options.batch, image, 3, device);
  views.plain = slice(random_views(options.batch, image, 4, device).both, 0, 0, options.batch);
  Outcome run;
  for (int step = 0; step < steps; ++step) {
    const StepContext context{.lr = lr, .step = step, .steps = steps, .images = options.batch};
    run.losses.push_back(runner.run([&] { return views; }, context).loss.item());
  }
  for (const auto& [name, set] : objective->state().parameters)
    for (const double value : set.flat().values()) run.parameters.push_back(value);
  run.recorded = runner.recorded();
  run.refusal = runner.refusal();
  return run;
}

class IclMsrSteps : public testing::TestWithParam<Case> {};

TEST_P(IclMsrSteps, GiveTheLossesOfTheCpu) {
  const Options options = tiny(GetParam());
  const Outcome cpu = train(options, cpu_backend(), 16, 1e-3, 2, false);
  const Outcome gpu = train(options, device_under_test(), 16, 1e-3, 2, false);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-4 * std::abs(cpu.losses[i])) << i;
}

/// Seven steps: of each kind two that run eagerly, one that is recorded, and the first kind's recording once more.
TEST_P(IclMsrSteps, AreTheSameRecordedAndRepeated) {
  const Options options = tiny(GetParam());
  const Outcome eager = train(options, device_under_test(), 8, 0.05, 7, false),
                recorded = train(options, device_under_test(), 8, 0.05, 7, true);
  EXPECT_FALSE(eager.recorded);
  EXPECT_TRUE(recorded.recorded) << recorded.refusal;
  EXPECT_EQ(recorded.losses, eager.losses);
  EXPECT_EQ(recorded.parameters, eager.parameters);
}

INSTANTIATE_TEST_SUITE_P(Cases, IclMsrSteps,
                         testing::Values(Case{"simclr", "features", "exact", "meta"},
                                         Case{"byol", "images", "exact", "meta"},
                                         Case{"barlow_twins", "table", "exact", "meta"},
                                         Case{"simclr", "table", "finite_difference", "meta"},
                                         Case{"simclr", "features", "exact", "ordinary"}));

/// Losses of a run in bf16 from a data set's bytes, where the device draws views and un-augmented images, both with
/// channels for alignment.
std::vector<double> train_from_images(const Options& options, Backend& device, bool record) {
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(options, options.image_size, device);
  const auto batches = make_batches(dataset, loader_settings(options, dataset, *objective, 0), DType::bf16, device);
  StepRunner runner(*objective, device, record);
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) {
    batches->prepare(step);
    const StepContext context{.lr = 1e-3, .step = step, .steps = 3, .images = options.batch};
    losses.push_back(runner.run([&] { return batches->make(); }, context).loss.item());
  }
  EXPECT_EQ(runner.recorded(), record) << runner.refusal();
  return losses;
}

TEST(IclMsrRun, ReadsUnaugmentedImages) {
  Options options = tiny({"simclr", "images", "exact", "meta"});
  options.precision = "bf16";
  options.image_size = 16, options.limit = 20;
  set_option(options, "icl_msr.every", "1");
  const std::vector<double> eager = train_from_images(options, device_under_test(), false);
  EXPECT_EQ(train_from_images(options, device_under_test(), true), eager);
  const std::vector<double> cpu = train_from_images(options, cpu_backend(), false);
  for (std::size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(eager[i], cpu[i], 2e-2 * std::abs(cpu[i])) << i;
}

}  // namespace
}  // namespace vergence::test
