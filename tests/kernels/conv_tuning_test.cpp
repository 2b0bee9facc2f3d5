// Tests the records of `--tune`: what is timed, what is kept, and what a kept choice saves.
#include "kernels/conv_tuning.h"

#include <gtest/gtest.h>
#include <thread>

#include "kernels/cpu/backend.h"

namespace vergence {
namespace {

class Tuning : public testing::Test {
 protected:
  /// A candidate that takes this many milliseconds per run.
  ConvCandidate candidate(const char* name, int milliseconds) {
    return {name, [this, name, milliseconds] {
              ++runs[name];
              std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
            }};
  }

  std::map<std::string, int> runs;
};

TEST_F(Tuning, KeepsTheFastestAndRunsNothingAgain) {
  ConvTuning tuning;
  const std::vector<ConvCandidate> candidates{candidate("slow", 20), candidate("fast", 1), candidate("middling", 10)};
  EXPECT_EQ(tuning.choose("a", candidates), 1u);
  EXPECT_EQ(tuning.choices(), (ConvChoices{{"a", "fast"}}));
  const std::map<std::string, int> timed = runs;
  EXPECT_EQ(timed.size(), 3u);
  EXPECT_EQ(tuning.choose("a", candidates), 1u);
  EXPECT_EQ(runs, timed);
}

TEST_F(Tuning, NoteAddsAChoiceButReplacesNone) {
  ConvTuning tuning(ConvChoices{{"a", "fast"}});
  tuning.note("a", "slow");
  tuning.note("b", "slow");
  EXPECT_EQ(tuning.choices(), (ConvChoices{{"a", "fast"}, {"b", "slow"}}));
}

TEST_F(Tuning, UsesAKeptChoiceWithoutTiming) {
  ConvTuning tuning(ConvChoices{{"a", "engine 38 2=1 5=16"}});
  EXPECT_EQ(tuning.choose("a", {candidate("engine 1", 1), candidate("engine 38 2=1 5=16", 20)}), 1u);
  EXPECT_TRUE(runs.empty());
}

TEST_F(Tuning, TimesAgainIfTheKeptCandidateIsMissing) {
  ConvTuning tuning(ConvChoices{{"a", "engine of another version"}, {"b", "kept"}});
  EXPECT_EQ(tuning.choose("a", {candidate("engine 1", 20), candidate("engine 2", 1)}), 1u);
  EXPECT_EQ(tuning.choices(), (ConvChoices{{"a", "engine 2"}, {"b", "kept"}}));
}

// cuDNN's plan is chosen while cuDNN itself is being timed.
TEST_F(Tuning, ACandidateMayHaveAChoiceOfItsOwn) {
  ConvTuning tuning;
  const auto library = [&] {
    const std::vector<ConvCandidate> plans{candidate("engine 1", 10), candidate("engine 2", 1)};
    plans[tuning.choose("a, plan", plans)].run();
  };
  EXPECT_EQ(tuning.choose("a", {{"library", library}, candidate("plain", 40)}), 0u);
  EXPECT_EQ(tuning.choices(), (ConvChoices{{"a", "library"}, {"a, plan", "engine 2"}}));
}

TEST(ConvTuningOfADevice, MayBeAskedBySeveralThreads) {
  ConvTuning tuning;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&tuning] {
      for (int i = 0; i < 100; ++i) tuning.choose(std::to_string(i), {{"only", [] {}}});
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tuning.choices().size(), 100u);
}

TEST(ConvTuningOfADevice, IsThatDevicesAlone) {
  const ConvShape shape{1, 4, 4, 16, 16, 3, 3, 1, 1};
  const std::vector<float> x(static_cast<std::size_t>(shape.in_size())),
      w(static_cast<std::size_t>(shape.weight_size()));
  std::vector<float> y(static_cast<std::size_t>(shape.out_size()));
  const auto convolve = [&](Backend& device) {
    device.conv2d(shape, {x.data(), shape.in_size(), DType::f32}, {w.data(), shape.weight_size(), DType::f32},
                  {y.data(), shape.out_size(), DType::f32});
  };
  CpuBackend tuned, other;
  const auto tuning = std::make_shared<ConvTuning>();
  tuned.set_choices({.tuning = tuning});
  convolve(other);
  EXPECT_TRUE(tuning->choices().empty());
  convolve(tuned);
  EXPECT_EQ(tuning->choices().size(), 1u);
  const ConvChoices before = tuning->choices();
  tuned.set_choices({});
  convolve(tuned);
  EXPECT_EQ(tuning->choices(), before);
}

}  // namespace
}  // namespace vergence
