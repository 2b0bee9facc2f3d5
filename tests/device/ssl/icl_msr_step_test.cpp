// ICL-MSR's two kinds of step on a GPU: the losses of the CPU, and the same bits whether steps run eagerly or recorded.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "models/encoders/resnet.h"
#include "ssl/bench/step.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"

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
  options.components.get<ResNetSettings>().width = 4;
  options.batch = 8;
  options.joint_head_norm = true;
  set_all(options, {"simclr.hidden", "barlow_twins.hidden", "barlow_twins.output", "byol.hidden"}, "16");
  set_all(options, {"simclr.output", "byol.output", "byol.predictor_hidden", "icl_msr.hidden"}, "8");
  set_options(options, {{"icl_msr.base", c.base},
                        {"icl_msr.build", c.build},
                        {"icl_msr.second_order", c.second_order},
                        {"icl_msr.train", c.train},
                        {"icl_msr.strata", "3"},
                        {"icl_msr.every", "2"},
                        {"icl_msr.initial_deviation", "0.3"}});
  return options;
}

Outcome train(const Options& options, Backend& device, std::int64_t image, double lr, int steps, bool record) {
  const auto objective = make_objective({options, encoder_settings(options, image), device});
  Views views = random_views(options.batch, image, 3, device);
  views.plain = slice(random_views(options.batch, image, 4, device).both, 0, 0, options.batch);
  views.fresh = random_views(options.batch, image, 5, device).both;
  return run_steps(*objective, device, views, record, steps_at(lr, steps, options.batch));
}

class IclMsrSteps : public testing::TestWithParam<Case> {};

TEST_P(IclMsrSteps, GiveTheLossesOfTheCpu) {
  const Options options = tiny(GetParam());
  const Outcome cpu = train(options, cpu_backend(), 16, 1e-3, 2, false);
  const Outcome gpu = train(options, device_under_test(), 16, 1e-3, 2, false);
  for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(gpu.losses[i], cpu.losses[i], 5e-4 * std::abs(cpu.losses[i])) << i;
}

/// Seven steps: of each kind two that run eagerly, one that is recorded, and the first kind's recording once more.
TEST_P(IclMsrSteps, AreTheSameRecordedAndRepeated) {
  const Options options = tiny(GetParam());
  const Outcome eager = train(options, device_under_test(), 8, 0.05, 7, false),
                recorded = train(options, device_under_test(), 8, 0.05, 7, true);
  EXPECT_FALSE(eager.recorded.back());
  EXPECT_TRUE(recorded.recorded.back()) << recorded.refusal;
  expect_same_bits(recorded, eager);
}

INSTANTIATE_TEST_SUITE_P(Cases, IclMsrSteps,
                         testing::Values(Case{"simclr", "features", "exact", "meta"},
                                         Case{"byol", "images", "exact", "meta"},
                                         Case{"barlow_twins", "table", "exact", "meta"},
                                         Case{"simclr", "table", "finite_difference", "meta"},
                                         Case{"simclr", "features", "exact", "ordinary"}));

/// In bf16 the device draws views and un-augmented images, both with channels for alignment.
TEST(IclMsrRun, ReadsUnaugmentedImages) {
  Options options = tiny({"simclr", "images", "exact", "meta"});
  options.precision = Precision::bf16;
  options.image_size = 16, options.batch = 4, options.limit = 10;
  set_option(options, "icl_msr.every", "1");
  const std::vector<double> eager = losses_from_images(options, device_under_test(), false, 3);
  EXPECT_EQ(losses_from_images(options, device_under_test(), true, 3), eager);
  const std::vector<double> cpu = losses_from_images(options, cpu_backend(), false, 3);
  expect_bf16_losses(eager, cpu);
}

}  // namespace
}  // namespace vergence::test
