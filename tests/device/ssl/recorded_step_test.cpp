// Training on a GPU: the same losses as on the CPU, and the same bits whether steps run eagerly or recorded.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "models/encoders/resnet.h"
#include "ssl/bench/step.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

Options tiny(const char* objective) {
  Options options;
  options.objective = objective;
  options.components.get<ResNetSettings>().width = 4;
  options.batch = 4;
  set_all(options,
          {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden", "metamask.redundancy_hidden",
           "metamask.contrastive_hidden", "vicreg.hidden"},
          "16");
  set_all(options,
          {"simclr.output", "byol.output", "byol.predictor_hidden", "metamask.redundancy_output",
           "metamask.contrastive_output", "vicreg.output"},
          "8");
  set_option(options, "mrcl.decoder_width", "4");
  set_option(options, "metamask.virtual_step", "plain");  // every optimizer takes it
  return options;
}

/// The learning rate falls from `lr`.
Outcome train(const Options& options, std::int64_t image, double lr, Backend& device, int steps, bool record) {
  const auto objective = make_objective(objective_setup(options, image, device));
  std::vector<StepContext> contexts = steps_at(lr, steps, options.batch);
  for (StepContext& context : contexts) context.lr = lr / static_cast<double>(1 + context.step);
  return run_steps(*objective, device, random_views(options.batch, image, 3, device), record, contexts);
}

class DeviceSteps : public testing::TestWithParam<const char*> {};

TEST_P(DeviceSteps, GiveTheLossesOfTheCpu) {
  Options options = tiny(GetParam());
  options.batch = 16;  // with fewer values per channel batch norm makes mountains of the last bit
  const bool steep = options.objective == "metamask" || options.objective == "vicreg";
  const double lr = steep ? 1e-5 : 1e-3;
  const Outcome cpu = train(options, 16, lr, cpu_backend(), 3, false);
  const Outcome gpu = train(options, 16, lr, device_under_test(), 3, false);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-4 * std::abs(cpu.losses[i])) << i;
  ASSERT_EQ(gpu.running.size(), cpu.running.size());
  for (std::size_t i = 0; i < cpu.running.size(); ++i)
    EXPECT_NEAR(gpu.running[i], cpu.running[i], 1e-4 * (1 + std::abs(cpu.running[i]))) << "running statistic " << i;
}

TEST_P(DeviceSteps, AreTheSameRecordedAndRepeated) {
  for (const char* optimizer : {"sgd", "lars", "adamw"}) {
    Options options = tiny(GetParam());
    if (std::string(optimizer) != "sgd" && options.objective != "simclr") continue;
    set_option(options, "optimizer", optimizer);
    const Outcome eager = train(options, 8, 0.05, device_under_test(), 5, false),
                  recorded = train(options, 8, 0.05, device_under_test(), 5, true);
    EXPECT_FALSE(eager.recorded.back());
    EXPECT_TRUE(recorded.recorded.back()) << recorded.refusal;
    expect_same_bits(recorded, eager, optimizer);
  }
}

INSTANTIATE_TEST_SUITE_P(Objective, DeviceSteps,
                         testing::Values("simclr", "barlow_twins", "byol", "vicreg", "metamask", "mrcl"));

/// Parts of two image pairs, also in a virtual step's second derivatives.
TEST(MicroBatches, AreTheSameRecordedAndRepeated) {
  Options options = tiny("metamask");
  options.micro_batch = 2;
  const Outcome eager = train(options, 8, 0.01, device_under_test(), 3, false),
                recorded = train(options, 8, 0.01, device_under_test(), 3, true);
  EXPECT_TRUE(recorded.recorded.back()) << recorded.refusal;
  expect_same_bits(recorded, eager);
}

TEST(RecomputedBlocks, GiveTheSameLossAndStatistics) {
  Options options = tiny("simclr");
  const Outcome kept = train(options, 8, 0.01, device_under_test(), 1, false);
  options.recompute_blocks = true;
  const Outcome again = train(options, 8, 0.01, device_under_test(), 1, false);
  EXPECT_EQ(again.losses, kept.losses);
  EXPECT_EQ(again.running, kept.running);
}

TEST(StepRunner, RecordsViewsAndStepTogether) {
  const WithChoices with(device_under_test(), {.deterministic = true});
  for (const char* precision : {"fp32", "bf16"}) {
    Options options = tiny("simclr");
    set_option(options, "precision", precision);
    options.image_size = 16, options.batch = 8;
    options.limit = 20;  // two steps an epoch: the recording goes on over its end
    const std::vector<double> eager = losses_from_images(options, device_under_test(), false, 5);
    EXPECT_EQ(losses_from_images(options, device_under_test(), true, 5), eager) << precision;
    const std::vector<double> cpu = losses_from_images(options, cpu_backend(), false, 5);
    if (options.precision == Precision::bf16) {
      expect_bf16_losses(eager, cpu);
      continue;
    }
    for (std::size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(eager[i], cpu[i], 1e-4 * std::abs(cpu[i])) << i;
  }
}

/// An objective that looks at a value in the middle of its step: it cannot be recorded.
class Peeking final : public Objective {
 public:
  explicit Peeking(const ObjectiveSetup& setup) : Objective(setup) { set_trained({}); }
  Step run(const Views& views) override {
    const Tensor features = encode(views), loss = mean(square(features));
    seen += loss.item();
    return update(loss);
  }
  double seen = 0;
};

TEST(StepRunner, GoesOnEagerlyWhereAStepCannotBeRecorded) {
  const Options options = tiny("simclr");
  Peeking objective({options, encoder_settings(options, 8), device_under_test()});
  StepRunner runner(objective, device_under_test());
  const Views views = random_views(4, 8, 3, device_under_test());
  for (int step = 0; step < 4; ++step) {
    const double before = objective.seen;
    const double loss = runner.run([&] { return Views(views); }, {.lr = 0.01, .step = step, .steps = 4}).loss.item();
    EXPECT_NEAR(objective.seen - before, loss, 1e-6);
  }
  EXPECT_FALSE(runner.recorded());
  EXPECT_NE(runner.refusal().find("download"), std::string::npos) << runner.refusal();
  for (const auto& [name, layer] : objective.statistics().layers) EXPECT_EQ(layer.batches, 8) << name;
}

}  // namespace
}  // namespace vergence::test
