// Whole training steps on a real GPU: against the CPU, and repeated.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <gtest/gtest.h>

#include "engine/io/files.h"
#include "tests/device/device_under_test.h"
#include "tests/support/training_losses.h"

namespace vergence::test {
namespace {

/// Those of the file that VERGENCE_CPU_LOSSES names; where there is none they are computed, for a minute.
std::vector<CpuLosses> cpu_losses() {
  const char* path = std::getenv("VERGENCE_CPU_LOSSES");
  return path && file_exists(path) ? read_cpu_losses(path) : compute_cpu_losses();
}

/// How far rounding alone leads two trainings apart is measured by the CPU's two ways to convolve.
TEST(Training, FollowsTheCpuForFiftyStepsInF32) {
  for (const auto& [objective, cpu, direct] : cpu_losses()) {
    const std::vector<double> gpu = training_losses(training_settings(device_under_test().name(), objective));
    double rounding = 0;  // so far
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      rounding = std::max(rounding, std::abs(direct[i] - cpu[i]) / std::abs(cpu[i]));
      if (i == 9) {
        EXPECT_LT(rounding, 1e-2) << objective << ": two trainings on the CPU say nothing about a third";
      }
      EXPECT_NEAR(gpu[i], cpu[i], std::max(1e-3, 20 * rounding) * std::abs(cpu[i])) << objective << ", step " << i + 1;
    }
  }
}

TEST(Training, RecordedStepsHaveTheBitsOfEagerOnesAndRepeat) {
  for (const char* precision : {"fp32", "bf16"}) {
    BenchSettings settings = training_settings(device_under_test().name(), "simclr");
    settings.run.set("precision", precision);
    settings.run.set("deterministic", "on");
    settings.steps = 8;
    const BenchResult recorded = bench_step(settings), again = bench_step(settings);
    settings.run.values.record = false;
    const BenchResult eager = bench_step(settings);
    EXPECT_TRUE(recorded.recorded);
    EXPECT_EQ(recorded.losses, again.losses) << precision;
    EXPECT_EQ(recorded.losses, eager.losses) << precision;
  }
}

}  // namespace
}  // namespace vergence::test
