// MRCL's masks and decoder on a GPU: what each step draws reaches a recorded one, whatever is erased with.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "ssl/bench/step.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_mrcl.h"
#include "tests/support/step_runs.h"

namespace vergence::test {
namespace {

Outcome train(const Options& options, Backend& device, double lr, bool record) {
  const std::int64_t images = 6, size = 16;
  const auto objective = make_objective(objective_setup(options, size, device));
  Views views = random_views(images, size, 3, device);
  if (objective->needs_plain()) views.plain = slice(views.both, 0, 0, images);
  std::vector<StepContext> contexts = steps_at(lr, 5, images);
  for (StepContext& context : contexts) context.epoch = context.step;
  return run_steps(*objective, device, views, record, contexts);
}

TEST(MrclSteps, AreThoseOfTheCpuAndTheSameRecorded) {
  const std::vector<std::pair<std::string, Switches>> kinds{
      {"simclr", {{"mrcl.mask_fill", "token"}, {"mrcl.rec_region", "masked"}}},
      {"byol", {{"mrcl.mask_fill", "noise"}, {"mrcl.rec_target", "clean"}, {"mrcl.rec_input", "map"}}},
      {"barlow_twins", {{"mrcl.mask_views", "one"}, {"mrcl.rec_norm", "l1"}, {"mrcl.rec_patch_norm", "on"}}}};
  for (const auto& [base, more] : kinds) {
    const Options options = tiny_mrcl(base, more);
    const Outcome cpu = train(options, cpu_backend(), 1e-3, false),
                  device = train(options, device_under_test(), 1e-3, false),
                  recorded = train(options, device_under_test(), 1e-3, true);
    for (std::size_t i = 0; i < 2; ++i)  // later six values per channel make mountains of a rate's last bit
      EXPECT_NEAR(device.losses[i], cpu.losses[i], 5e-4 * std::abs(cpu.losses[i])) << base << " step " << i;
    EXPECT_TRUE(recorded.recorded.back()) << base;
    expect_same_bits(recorded, device, base);
  }
}

/// Views as the device makes them for half precision: bf16, with five channels of zeros.
TEST(MrclSteps, TakesViewsOfEightChannels) {
  for (const char* fill : {"mean", "noise", "token"}) {
    Options options = tiny_mrcl("simclr", {{"mrcl.mask_fill", fill}, {"mrcl.rec_target", "masked"}});
    options.precision = Precision::bf16;
    const auto losses = [&](Backend& device, bool padded) {
      const auto objective = make_objective(objective_setup(options, 16, device));
      Views views = random_views(6, 16, 3, device);
      views.both = cast(padded ? pad(views.both, 3, 0, 8) : views.both, DType::bf16);
      std::vector<double> values;
      for (int step = 0; step < 2; ++step)
        values.push_back(objective->step(views, {.lr = 1e-2, .step = step, .steps = 2, .images = 6}).loss.item());
      return values;
    };
    const std::vector<double> cpu = losses(cpu_backend(), false), same = losses(cpu_backend(), true),
                              device = losses(device_under_test(), true);
    // The second loss is of weights that differ too: over 14 seeds on the CPU by at most 0.0006, then 0.021.
    for (std::size_t i = 0; i < cpu.size(); ++i) {
      const double steps = static_cast<double>(1 + i);
      EXPECT_NEAR(same[i], cpu[i], steps * 1.5e-2 * cpu[i]) << fill << i;
      EXPECT_NEAR(device[i], cpu[i], steps * 2e-2 * cpu[i]) << fill << i;
    }
  }
}

TEST(MrclSteps, PicturesAreThoseOfTheCpu) {
  const auto pictures = [](Backend& device) {
    const auto objective =
        make_objective(objective_setup(tiny_mrcl("simclr", {{"mrcl.mask_fill", "noise"}}), 16, device));
    const Views views = random_views(6, 16, 3, device);
    objective->step(views, {.lr = 1e-3, .images = 6});
    return objective->pictures(slice(views.both, 0, 0, 6)).images.values();
  };
  const std::vector<double> cpu = pictures(cpu_backend()), device = pictures(device_under_test());
  ASSERT_EQ(cpu.size(), device.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) EXPECT_NEAR(device[i], cpu[i], 1e-3 * (1 + std::abs(cpu[i])));
}

}  // namespace
}  // namespace vergence::test
