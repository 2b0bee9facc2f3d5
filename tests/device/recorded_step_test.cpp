// Training on a GPU: the same losses as on the CPU, and the same bits whether steps run eagerly or recorded.
#include <gtest/gtest.h>

#include "engine/ops.h"
#include "kernels/cuda_rules.h"
#include "ssl/bench_step.h"
#include "ssl/option_table.h"
#include "ssl/step_runner.h"
#include "ssl/trainer.h"
#include "tests/device/device_under_test.h"

namespace vergence::test {
namespace {

Options tiny(const char* objective) {
  Options options;
  options.objective = objective;
  options.width = 4;
  options.batch = 4;
  for (const char* layer : {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden"})
    set_option(options, layer, "16");
  for (const char* layer : {"simclr.output", "byol.output", "byol.predictor_hidden"}) set_option(options, layer, "8");
  set_option(options, "mrcl.decoder_width", "4");
  for (const char* layer : {"metamask.redundancy_hidden", "metamask.contrastive_hidden", "vicreg.hidden"})
    set_option(options, layer, "16");
  for (const char* layer : {"metamask.redundancy_output", "metamask.contrastive_output", "vicreg.output"})
    set_option(options, layer, "8");
  set_option(options, "metamask.virtual_step", "plain");  // every optimiser takes it
  return options;
}

struct Outcome {
  std::vector<double> losses, parameters, running;
  std::vector<std::int64_t> batches;
  bool recorded = false;
  std::string refusal;
};

Outcome train(const Options& options, std::int64_t image, double lr, Backend& device, int steps, bool record) {
  const auto objective = make_objective(options, image, device);
  StepRunner runner(*objective, device, record);
  const Views views = random_views(options.batch, image, 3, device);
  Outcome run;
  for (int step = 0; step < steps; ++step) {
    const StepContext context{.lr = lr / (1 + step), .step = step, .steps = steps, .images = options.batch};
    run.losses.push_back(runner.run([&] { return views; }, context).loss.item());
  }
  for (const auto& [name, set] : objective->state().parameters)
    for (double value : set.flat().values()) run.parameters.push_back(value);
  for (const auto& [name, layer] : objective->statistics().layers) {
    run.batches.push_back(layer.batches);
    for (const Tensor& tensor : {layer.mean, layer.variance})
      for (double value : tensor.values()) run.running.push_back(value);
  }
  run.recorded = runner.recorded();
  run.refusal = runner.refusal();
  return run;
}

class DeviceSteps : public testing::TestWithParam<const char*> {};

TEST_P(DeviceSteps, GiveTheLossesOfTheCpu) {
  Options options = tiny(GetParam());
  options.batch = 16;  // with fewer values per channel batch norm makes mountains of the last bit
  const bool steep = options.objective == "metamask" || options.objective == "vicreg";
  const double lr = steep ? 1e-5 : 1e-3;
  const Outcome cpu = train(options, 16, lr, cpu_backend(), 3, false);
  const Outcome gpu = train(options, 16, lr, device_under_test(), 3, false);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 1e-5 * std::abs(cpu.losses[i])) << i;
  ASSERT_EQ(gpu.running.size(), cpu.running.size());
  for (std::size_t i = 0; i < cpu.running.size(); ++i)
    EXPECT_NEAR(gpu.running[i], cpu.running[i], 1e-4 * (1 + std::abs(cpu.running[i]))) << "running statistic " << i;
}

TEST_P(DeviceSteps, AreTheSameRecordedAndRepeated) {
  for (const char* optimizer : {"sgd", "lars", "adamw"}) {
    Options options = tiny(GetParam());
    if (std::string(optimizer) != "sgd" && options.objective != "simclr") continue;
    options.optimizer = optimizer;
    const Outcome eager = train(options, 8, 0.05, device_under_test(), 5, false),
                  recorded = train(options, 8, 0.05, device_under_test(), 5, true);
    EXPECT_FALSE(eager.recorded);
    EXPECT_TRUE(recorded.recorded) << recorded.refusal;
    EXPECT_EQ(recorded.losses, eager.losses);
    EXPECT_EQ(recorded.parameters, eager.parameters);
    EXPECT_EQ(recorded.batches, eager.batches);
    EXPECT_EQ(recorded.running, eager.running);
  }
}

INSTANTIATE_TEST_SUITE_P(Objective, DeviceSteps,
                         testing::Values("simclr", "barlow_twins", "byol", "vicreg", "metamask", "mrcl"));

/// Losses of a run from a data set's bytes: views, model, optimiser.
std::vector<double> train_from_images(const Options& options, Backend& device, bool record) {
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(options, options.image_size, device);
  const DType activations = options.precision == "bf16" ? DType::bf16 : DType::f32;
  const auto batches = make_batches(dataset, loader_settings(options, dataset, *objective, 0), activations, device);
  StepRunner runner(*objective, device, record);
  std::vector<double> losses;
  for (int step = 0; step < 5; ++step) {
    batches->prepare(step);
    losses.push_back(runner.run([&] { return batches->make(); }, {.lr = 1e-3, .step = step, .steps = 5}).loss.item());
  }
  EXPECT_EQ(runner.recorded(), record) << runner.refusal();
  return losses;
}

TEST(StepRunner, RecordsViewsAndStepTogether) {
  set_cuda_deterministic(true);
  for (const char* precision : {"fp32", "bf16"}) {
    Options options = tiny("simclr");
    options.precision = precision;
    options.image_size = 16, options.batch = 16;
    options.limit = 40;  // two steps an epoch: the recording goes on over its end
    const std::vector<double> eager = train_from_images(options, device_under_test(), false);
    EXPECT_EQ(train_from_images(options, device_under_test(), true), eager) << precision;
    const std::vector<double> cpu = train_from_images(options, cpu_backend(), false);
    for (std::size_t i = 0; i < cpu.size(); ++i)
      EXPECT_NEAR(eager[i], cpu[i], (options.precision == "bf16" ? 2e-2 : 1e-4) * std::abs(cpu[i])) << precision << i;
  }
  set_cuda_deterministic(false);
}

/// An objective that looks at a value in the middle of its step: it cannot be recorded.
class Peeking final : public Objective {
 public:
  explicit Peeking(const ObjectiveSetup& setup) : Objective(setup) { train({}); }
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
    const double loss = runner.run([&] { return views; }, {.lr = 0.01, .step = step, .steps = 4}).loss.item();
    EXPECT_NEAR(objective.seen - before, loss, 1e-6);
  }
  EXPECT_FALSE(runner.recorded());
  EXPECT_NE(runner.refusal().find("download"), std::string::npos) << runner.refusal();
  for (const auto& [name, layer] : objective.statistics().layers) EXPECT_EQ(layer.batches, 8) << name;
}

}  // namespace
}  // namespace vergence::test
