// Recordings that the device refuses: steps continue eagerly, and no memory is lost or freed while in use.
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "kernels/cuda/emulated/backend.h"
#include "ssl/bench/step.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/step_runs.h"

namespace vergence::test {
namespace {

Outcome train(bool record) {
  const Options options = small_options("simclr");
  const auto objective = make_objective(objective_setup(options, small_image, emulated_backend()));
  return run_steps(*objective, emulated_backend(), random_views(options.batch, small_image, 3, emulated_backend()),
                   record, steps_at(0.05, 5, options.batch));
}

TEST(RefusedRecording, ThatCannotBeginLeavesEagerSteps) {
  const Outcome eager = train(false);
  const std::int64_t used = emulated_backend().memory().used;
  fail_next_recording();
  const Outcome refused = train(true);
  EXPECT_FALSE(refused.recorded.back());
  EXPECT_EQ(refused.refusal, "emulator: this recording was to fail");
  expect_same_bits(refused, eager);
  EXPECT_EQ(emulated_backend().memory().used, used);
  const Outcome recorded = train(true);
  EXPECT_TRUE(recorded.recorded.back()) << recorded.refusal;
  expect_same_bits(recorded, eager);
}

/// Keeps the last step's result, and reads a value, so that it cannot be recorded.
class Keeping final : public Objective {
 public:
  explicit Keeping(const ObjectiveSetup& setup) : Objective(setup) { set_trained({}); }
  Step run(const Views& views) override {
    kept.push_back(encode(views));
    const Tensor loss = mean(square(kept.back()));
    loss.item();
    return update(loss);
  }
  Tensors kept;
};

TEST(RefusedRecording, LeavesItsTensorsTheirMemory) {
  const auto steps = [] {
    const Options options = small_options("simclr");
    Keeping objective({options, encoder_settings(options, small_image), emulated_backend()});
    StepRunner runner(objective, emulated_backend());
    const Views views = random_views(options.batch, small_image, 3, emulated_backend());
    for (const StepContext& context : steps_at(0.01, 3, options.batch))
      EXPECT_GT(runner.run([&] { return Views(views); }, context).loss.item(), 0);
    EXPECT_NE(runner.refusal().find("download"), std::string::npos) << runner.refusal();
    ASSERT_EQ(objective.kept.size(), 4u);  // two steps, a refused recording, and that step again
    const Tensor& recorded = objective.kept[2];
    const std::int64_t held = emulated_backend().memory().used;
    emulated_backend().fill(recorded.array(), 1);  // no other tensor has this memory
    for (const double value : objective.kept[3].values()) EXPECT_NE(value, 1);
    objective.kept.clear();
    EXPECT_LT(emulated_backend().memory().used, held);
  };
  steps();  // the device keeps memory for later steps
  const std::int64_t before = emulated_backend().memory().used;
  steps();
  EXPECT_EQ(emulated_backend().memory().used, before);
}

/// Its first `late` steps are of another kind.
class TwoKinds final : public Objective {
 public:
  TwoKinds(const ObjectiveSetup& setup, std::int64_t late) : Objective(setup), late_(late) { set_trained({}); }
  void prepare(const StepContext& context) override {
    Objective::prepare(context);
    kind_ = context.step < late_ ? 1 : 0;
  }
  int step_kind() const override { return kind_; }
  Step run(const Views& views) override { return update(mean(square(encode(views)))); }

 private:
  std::int64_t late_;
  int kind_ = 0;
};

TEST(Recording, OfAnEarlierKindOfStepsGivesItsMemoryBack) {
  const auto used_after_nine_steps = [](std::int64_t late) {
    const Options options = small_options("simclr");
    TwoKinds objective({options, encoder_settings(options, small_image), emulated_backend()}, late);
    StepRunner runner(objective, emulated_backend());
    const Views views = random_views(options.batch, small_image, 3, emulated_backend());
    for (const StepContext& context : steps_at(0.01, 9, options.batch)) {
      runner.run([&] { return views; }, context);
      EXPECT_EQ(runner.recorded(), (context.step < late ? context.step : context.step - late) >= 2) << context.step;
    }
    return emulated_backend().memory().used;
  };
  const std::int64_t one = used_after_nine_steps(0);
  EXPECT_EQ(used_after_nine_steps(4), one);
}

/// Breaks while it is recorded, for good.
class Breaking final : public Objective {
 public:
  explicit Breaking(const ObjectiveSetup& setup) : Objective(setup) { set_trained({}); }
  Step run(const Views& views) override {
    require(steps_ < 3, "broken since a recording");
    require(++steps_ < 3, "the device's reason");
    return update(mean(square(encode(views))));
  }

 private:
  int steps_ = 0;
};

TEST(RefusedRecording, IsNamedByAnErrorOfTheStepAfterIt) {
  const Options options = small_options("simclr");
  Breaking objective({options, encoder_settings(options, small_image), emulated_backend()});
  StepRunner runner(objective, emulated_backend());
  const Views views = random_views(options.batch, small_image, 3, emulated_backend());
  std::string said;
  for (const StepContext& context : steps_at(0.01, 3, options.batch))
    said = error_or<Error>("", [&] { runner.run([&] { return Views(views); }, context); });
  EXPECT_EQ(said,
            "broken since a recording (after the step could not be recorded: the device's reason; try --record off)");
}

}  // namespace
}  // namespace vergence::test
