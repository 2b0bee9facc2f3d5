// Whole training steps on a real GPU: against the CPU, and repeated.
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/cuda_rules.h"
#include "ssl/bench_step.h"
#include "tests/device/device_under_test.h"

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

TEST(Training, FollowsTheCpuForFiftyStepsInF32) {
  for (const char* objective : {"simclr", "barlow_twins"}) {
    BenchSettings settings = settings_of("cpu", objective);
    settings.steps = 50;
    const std::vector<double> cpu = bench_step(settings).losses;
    settings.device = device_under_test().name();
    const std::vector<double> gpu = bench_step(settings).losses;
    for (std::size_t i = 0; i < cpu.size(); ++i)
      EXPECT_NEAR(gpu[i], cpu[i], 1e-3 * std::abs(cpu[i])) << objective << ", step " << i + 1;
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
