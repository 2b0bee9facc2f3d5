// DSA on a GPU: its parts and its steps are those of the CPU, and the same bits when recorded, while the prior's
// temperature is calibrated and after.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/random.h"
#include "ssl/bench/step.h"
#include "ssl/objectives/dsa/modules.h"
#include "ssl/objectives/dsa/options.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"

namespace vergence::test {
namespace {

constexpr std::int64_t images = 8, image_size = 8, steps = 6;

std::vector<double> random_values(std::int64_t count, std::uint64_t stream) {
  Random random(3, Purpose::test, 0, stream);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = random.uniform(-1, 1);
  return values;
}

Tensor random_tensor(Backend& device, const Shape& shape, std::uint64_t stream, DType dtype) {
  return from_values(device, shape, random_values(shape.size(), stream), dtype);
}

TEST(DsaParts, PairScoresAreThoseOfTheCpu) {
  const auto all = [](Backend& device, DType dtype, std::int64_t values) {
    Tensors leaves;
    for (const Shape& shape : {Shape{37, 12}, Shape{21, 12}, Shape{1, 12}, Shape{1}})
      leaves.push_back(leaf(random_tensor(device, shape, static_cast<std::uint64_t>(shape.size()), dtype)));
    const Tensor scores = pair_scores(leaves[0], leaves[1], leaves[2], leaves[3], values);
    const Tensor sums = pair_l1(leaves[0], leaves[1], values);
    std::vector<double> numbers = scores.values();
    for (const Tensor& tensor : {sums, grad({dot(scores, scores)}, leaves)[0], grad({dot(sums, sums)}, leaves)[1]})
      for (const double value : tensor.values()) numbers.push_back(value);
    return numbers;
  };
  const std::vector<double> exact = all(cpu_backend(), DType::f64, 1000);
  double size = 0;
  for (const double value : exact) size = std::max(size, std::abs(value));
  for (const std::int64_t values : {1, 1000, 0}) {
    const std::vector<double> device = all(device_under_test(), DType::f32, values);
    ASSERT_EQ(device.size(), exact.size());
    for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(device[i], exact[i], 1e-5 * size) << i;
  }
}

TEST(DsaParts, ScoresAndQuantilesAreThoseOfTheCpu) {
  const auto all = [](Backend& device) {
    const Tensor u = random_tensor(device, {45, 9}, 1, DType::f32), graph = neighbors(u, 7);
    std::vector<double> numbers = graph.values();
    for (const Tensor& tensor : {anchor_scores(graph, 7, 1), off_diagonal_quantile({unit_distances(u, u)}, 0.1, 2)})
      for (const double value : tensor.values()) numbers.push_back(value);
    return numbers;
  };
  const std::vector<double> cpu = all(cpu_backend()), device = all(device_under_test());
  ASSERT_EQ(device.size(), cpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(device[i], cpu[i], 1e-12) << i;
}

Options tiny(const Switches& switches) {
  Options options = small_options("dsa", 4, images, "16", "8");
  for (const auto& [name, value] :
       Switches{{"eta", "3"}, {"mu", "1"}, {"lambda2", "0.2"}, {"calibration_batches", "3"}})
    set_option(options, "dsa." + name, value);
  for (const auto& [name, value] : switches) set_option(options, "dsa." + name, value);
  return options;
}

Outcome train(const Options& options, Backend& device, bool record) {
  const auto objective = make_objective(objective_setup(options, image_size, device));
  Views views = random_views(images, image_size, 3, device);
  if (objective->needs_plain()) views.plain = slice(views.both, 0, 0, images);
  Outcome run = run_steps(*objective, device, views, record, steps_at(1e-3, steps, images));
  // While the temperature is calibrated a step is of another kind: each kind runs twice before it is recorded.
  const bool one_kind =
      resolve(options.components.get<DsaOptions>(), options.batch).temperature == PriorTemperature::running;
  for (std::size_t step = 0; step < run.recorded.size(); ++step)
    EXPECT_EQ(run.recorded[step], record && (one_kind ? step >= 2 : step == 2 || step == 5)) << step << run.refusal;
  return run;
}

TEST(DsaSteps, AreThoseOfTheCpuAndTheSameRecorded) {
  const std::vector<Switches> kinds{{{"base", "simclr"}, {"prior_net", "random"}},
                                    {{"base", "byol"}, {"prior_net", "ema"}},
                                    {{"base", "barlow_twins"}, {"prior_net", "pixels"}, {"prior_reduce", "mean4"}},
                                    {{"base", "simclr"}, {"prior_net", "random"}, {"am_mode", "diff_l1"}},
                                    {{"base", "simclr"}, {"prior_net", "ema"}, {"am_mode", "none"}},
                                    {{"base", "simclr"}, {"prior_net", "ema"}, {"warmup", "0.2"}, {"ramp", "0.6"}},
                                    {{"base", "simclr"}, {"prior_net", "ema"}, {"prior_temperature", "calibrated"}}};
  for (const Switches& switches : kinds) {
    const Options options = tiny(switches);
    const std::string kind = switches[0].second + " " + switches[1].second;
    const Outcome cpu = train(options, cpu_backend(), false), device = train(options, device_under_test(), false),
                  recorded = train(options, device_under_test(), true);
    for (std::size_t i = 0; i < 2; ++i)  // later few values per channel make mountains of the last bit
      EXPECT_NEAR(device.losses[i], cpu.losses[i], 1e-4 * std::abs(cpu.losses[i])) << kind << " step " << i;
    expect_same_bits(recorded, device, kind);
  }
}

/// Views as the device makes them for half precision: bf16, with five channels of zeros.
TEST(DsaSteps, TakeViewsOfEightChannels) {
  for (const char* prior : {"pixels", "random"}) {
    Options options = tiny({{"prior_net", prior}});
    options.precision = Precision::bf16;
    const auto loss = [&](Backend& device, bool padded) {
      const auto objective = make_objective(objective_setup(options, image_size, device));
      Views views = random_views(images, image_size, 3, device);
      views.both = cast(padded ? pad(views.both, 3, 0, 8) : views.both, DType::bf16);
      views.plain = slice(views.both, 0, 0, images);
      return objective->step(views, {.lr = 1e-2, .step = 0, .steps = 2, .images = images}).loss.item();
    };
    const double cpu = loss(cpu_backend(), false);
    EXPECT_NEAR(loss(cpu_backend(), true), cpu, 1e-2 * cpu) << prior;
    EXPECT_NEAR(loss(device_under_test(), true), cpu, 2e-2 * cpu) << prior;
  }
}

}  // namespace
}  // namespace vergence::test
