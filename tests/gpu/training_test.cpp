// Whole training steps on a real GPU: against the CPU, and repeated.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/cuda_rules.h"
#include "ssl/bench_step.h"
#include "tests/device/device_under_test.h"
#include "tests/device/step_runs.h"

namespace vergence::test {
namespace {

BenchSettings settings_of(const char* device, const char* objective) {
  BenchSettings settings;
  settings.objective = objective;
  settings.device = device;
  settings.batch = 16;
  settings.projector = 256;
  settings.warmup = 0;
  return settings;
}

/// Losses of fifty steps on one batch, at a rate at which rounding grows slowly.
std::vector<double> fifty_losses(const BenchSettings& settings) {
  const Options options = bench_options(settings);
  apply_kernel_choices(options);
  Backend& device = backend(settings.device.c_str());
  const auto objective = make_objective(options, settings.image, device);
  const Views views = random_views(settings.batch, settings.image, 1, device);
  const double lr = settings.objective == "simclr" ? 1e-3 : 1e-6;
  return run_steps(*objective, device, views, false, steps_at(lr, 50, settings.batch)).losses;
}

/// How far rounding alone leads two trainings apart is measured by the CPU's two ways to convolve.
TEST(Training, FollowsTheCpuForFiftyStepsInF32) {
  for (const char* objective : {"simclr", "barlow_twins"}) {
    BenchSettings settings = settings_of("cpu", objective);
    const std::vector<double> cpu = fifty_losses(settings);
    settings.cpu_conv = "direct";
    const std::vector<double> otherwise = fifty_losses(settings);
    settings.cpu_conv = "auto";
    settings.device = device_under_test().name();
    const std::vector<double> gpu = fifty_losses(settings);
    double rounding = 0;  // so far
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      rounding = std::max(rounding, std::abs(otherwise[i] - cpu[i]) / std::abs(cpu[i]));
      if (i == 9) {
        EXPECT_LT(rounding, 1e-2) << objective << ": two trainings on the CPU say nothing about a third";
      }
      EXPECT_NEAR(gpu[i], cpu[i], std::max(1e-3, 20 * rounding) * std::abs(cpu[i])) << objective << ", step " << i + 1;
    }
  }
}

TEST(Training, RecordedStepsHaveTheBitsOfEagerOnesAndRepeat) {
  set_cuda_deterministic(true);
  for (const char* precision : {"fp32", "bf16"}) {
    BenchSettings settings = settings_of(device_under_test().name(), "simclr");
    settings.precision = precision;
    settings.steps = 8;
    const BenchResult recorded = bench_step(settings), again = bench_step(settings);
    settings.capture = false;
    const BenchResult eager = bench_step(settings);
    EXPECT_TRUE(recorded.recorded);
    EXPECT_EQ(recorded.losses, again.losses) << precision;
    EXPECT_EQ(recorded.losses, eager.losses) << precision;
  }
  set_cuda_deterministic(false);
}

}  // namespace
}  // namespace vergence::test
