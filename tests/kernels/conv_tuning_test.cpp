// The books of `--tune`: what is timed, what is kept, what a kept choice spares.
#include "kernels/conv_tuning.h"

#include <gtest/gtest.h>
#include <thread>

namespace vergence {
namespace {

class ConvTuning : public testing::Test {
 protected:
  ~ConvTuning() override { stop_conv_tuning(); }

  /// Takes so many milliseconds a run.
  ConvCandidate candidate(const char* name, int milliseconds) {
    return {name, [this, name, milliseconds] {
              ++runs[name];
              std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
            }};
  }

  std::map<std::string, int> runs;
};

TEST_F(ConvTuning, KeepsTheFastestAndRunsNothingAgain) {
  start_conv_tuning({});
  const std::vector<ConvCandidate> candidates{candidate("slow", 20), candidate("fast", 1), candidate("middling", 10)};
  EXPECT_EQ(tuned_choice("a", candidates), 1u);
  EXPECT_EQ(conv_choices(), (ConvChoices{{"a", "fast"}}));
  const std::map<std::string, int> timed = runs;
  EXPECT_EQ(timed.size(), 3u);
  EXPECT_EQ(tuned_choice("a", candidates), 1u);
  EXPECT_EQ(runs, timed);
}

TEST_F(ConvTuning, TakesWhatWasGivenBackWhateverItsSpeed) {
  start_conv_tuning({{"a", "engine 38 2=1 5=16"}});
  EXPECT_EQ(tuned_choice("a", {candidate("engine 1", 1), candidate("engine 38 2=1 5=16", 20)}), 1u);
  EXPECT_TRUE(runs.empty());
}

TEST_F(ConvTuning, TimesAgainWhereTheKeptNameIsNotThere) {
  start_conv_tuning({{"a", "engine of another version"}, {"b", "kept"}});
  EXPECT_EQ(tuned_choice("a", {candidate("engine 1", 20), candidate("engine 2", 1)}), 1u);
  EXPECT_EQ(conv_choices(), (ConvChoices{{"a", "engine 2"}, {"b", "kept"}}));
}

// cuDNN's plan is chosen while cuDNN itself is timed.
TEST_F(ConvTuning, ACandidateMayHaveAChoiceOfItsOwn) {
  start_conv_tuning({});
  const auto library = [&] {
    const std::vector<ConvCandidate> plans{candidate("engine 1", 10), candidate("engine 2", 1)};
    plans[tuned_choice("a, plan", plans)].run();
  };
  EXPECT_EQ(tuned_choice("a", {{"library", library}, candidate("plain", 40)}), 0u);
  EXPECT_EQ(conv_choices(), (ConvChoices{{"a", "library"}, {"a, plan", "engine 2"}}));
}

}  // namespace
}  // namespace vergence
