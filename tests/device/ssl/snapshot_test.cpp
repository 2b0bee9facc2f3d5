// Checkpoints and encoders that are written while a GPU goes on with the steps.
#include <gtest/gtest.h>
#include <memory>

#include "engine/io/files.h"
#include "models/encoder_file.h"
#include "ssl/bench/step.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/saving.h"
#include "tests/device/device_under_test.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

class SnapshotTest : public testing::TestWithParam<std::string> {};

TEST_P(SnapshotTest, HoldsWhatTheNextStepsOverwrite) {
  Options options = small_options("simclr", 4, 4, "16", "8");
  options.image_size = 8;
  set_option(options, "precision", GetParam());
  Backend& device = device_under_test();
  const WithChoices with(device, kernel_choices(options));
  const auto objective = make_objective(objective_setup(options, options.image_size, device));
  const Views views = bench_views(options, *objective, device);
  StepRunner runner(*objective, device, true);
  const std::vector<StepContext> contexts = steps_at(1e-3, 3, options.batch);
  const auto step = [&](std::size_t i) { runner.run([&] { return views; }, contexts[i]); };
  const TemporaryFolder folder;
  const auto save = [&](Saving& saving, const std::string& name) {
    const auto checkpoint = std::make_shared<const CheckpointSnapshot>(
        objective->state(), RunPosition{.step = 1, .data = {}, .config = "x"});
    const auto encoder =
        std::make_shared<const EncoderSnapshot>(objective->encoder(), objective->statistics(), Metadata{});
    saving.add([encoder, path = folder / (name + ".encoder")] { encoder->write(path); });
    saving.add([checkpoint, path = folder / (name + ".checkpoint")] { checkpoint->write(path); });
    saving.start();
  };
  step(0);
  Saving at_once(false), beside(true);
  save(at_once, "at_once");
  save(beside, "beside");
  step(1);
  step(2);  // a recorded one
  beside.wait();
  save(at_once, "later");
  for (const char* kind : {".encoder", ".checkpoint"}) {
    const std::string expected = folder.bytes(std::string("at_once") + kind);
    EXPECT_EQ(folder.bytes(std::string("beside") + kind), expected) << kind;
    EXPECT_NE(folder.bytes(std::string("later") + kind), expected) << kind << ": the steps changed nothing";
  }
}

INSTANTIATE_TEST_SUITE_P(All, SnapshotTest, testing::Values(std::string("fp32"), std::string("bf16")));

}  // namespace
}  // namespace vergence::test
