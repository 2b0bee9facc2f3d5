// The progress line: what it says, what it counts, and how long it is.
#include "ssl/training/progress.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <limits>
#include <unistd.h>

namespace vergence {
namespace {

using Work = Progress::Work;

void sleep_for(double seconds) { ::usleep(static_cast<useconds_t>(1e6 * seconds)); }

/// All that was printed into a file, which is no terminal.
std::string printed(ProgressSettings settings, const std::function<void(Progress&)>& use) {
  std::FILE* file = std::tmpfile();
  {
    TrainLog log(nullptr, file, file);
    Progress progress(settings, log);
    use(progress);
  }
  std::rewind(file);
  std::string text;
  for (int c; (c = std::fgetc(file)) != EOF;) text += static_cast<char>(c);
  std::fclose(file);
  return text;
}

TEST(ProgressLine, Clock) {
  EXPECT_EQ(clock_text(7.4), "0:07");
  EXPECT_EQ(clock_text(123), "2:03");
  EXPECT_EQ(clock_text(3723), "1:02:03");
  EXPECT_EQ(clock_text(-1), "0:00");
  EXPECT_EQ(clock_text(std::numeric_limits<double>::quiet_NaN()), "0:00");
}

TEST(ProgressLine, Counts) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(9'999), "9999");
  EXPECT_EQ(count_text(10'000), "10k");
  EXPECT_EQ(count_text(160'000), "160k");
  EXPECT_EQ(count_text(999'999), "999k");
  EXPECT_EQ(count_text(1'000'000), "1.0M");
  EXPECT_EQ(count_text(9'960'000), "9.9M");
  EXPECT_EQ(count_text(25'000'000), "25M");
  EXPECT_EQ(grouped_text(0), "0");
  EXPECT_EQ(grouped_text(999), "999");
  EXPECT_EQ(grouped_text(12'000), "12,000");
  EXPECT_EQ(grouped_text(1'281'167), "1,281,167");
}

TEST(ProgressLine, TheLongestLineThatFits) {
  EXPECT_EQ(fitting({"12345", "123", "1"}, 80), "12345");
  EXPECT_EQ(fitting({"12345", "123", "1"}, 6), "12345");
  EXPECT_EQ(fitting({"12345", "123", "1"}, 5), "123") << "the last column stays free";
  EXPECT_EQ(fitting({"12345", "123", "12"}, 2), "1");
  EXPECT_EQ(fitting({"12345", "123", "12"}, 0), "");
}

TEST(ProgressLine, PlainLinesNowAndThenAndTheLastOne) {
  const std::string text = printed({.total = 100, .images = 32, .interval = 3600}, [](Progress& progress) {
    for (int step = 1; step <= 100; ++step) progress.update(step, 1, 2.5);
    EXPECT_GT(progress.images_per_s(), 0);
    progress.note("kNN 50.0");
  });
  EXPECT_EQ(text.find('\r'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text.rfind("epoch 1/1  step 1/100  loss 2.5000  ", 0), 0u) << text;
  EXPECT_NE(text.find(" images/s  0:00 spent\n"), std::string::npos) << "no rate is known yet: " << text;
  EXPECT_NE(text.find("\nepoch 1/1  step 100/100  loss 2.5000  "), std::string::npos) << text;
  EXPECT_NE(text.find(" images/s  0:00 spent, 0:00 left\nkNN 50.0\n"), std::string::npos) << text;
}

TEST(ProgressLine, ALossThatWasNotReadIsNotShown) {
  const std::string text = printed({.total = 3}, [](Progress& progress) { progress.update(3, 1, std::nan("")); });
  EXPECT_EQ(text.rfind("epoch 1/1  step 3/3  ", 0), 0u) << text;
  EXPECT_EQ(text.find("loss"), std::string::npos) << text;
}

TEST(ProgressLine, TheFirstStepIsNoMeasure) {
  printed({.total = 101, .images = 8}, [](Progress& progress) {
    sleep_for(0.5);  // sets things up
    const Clock::time_point begin = Clock::now();
    progress.update(1, 1, 1);
    EXPECT_LT(progress.left(), 0) << "not known";
    EXPECT_GT(progress.images_per_s(), 0);
    EXPECT_LE(progress.images_per_s(), 16);
    sleep_for(0.02);
    progress.update(2, 1, 1);
    const double second = seconds_since(begin);  // at least what the line has seen
    EXPECT_GE(progress.images_per_s(), 8 / second);
    EXPECT_LE(progress.left(), 99 * second);
    EXPECT_GE(progress.left(), 99 * 0.02);
  });
}

TEST(ProgressLine, EvaluationsAndCheckpointsCountAsSpentAndAsLeft) {
  // steps 5 and 10 evaluate
  printed({.total = 10, .images = 4, .evaluation_work = 6}, [](Progress& progress) {
    double of_steps = 0;
    const auto step = [&](std::int64_t number) {
      const Clock::time_point begin = Clock::now();
      sleep_for(0.01);
      progress.update(number, 1, 1);
      of_steps = std::max(of_steps, seconds_since(begin));
    };
    for (int number = 1; number <= 5; ++number) step(number);
    const double before = progress.left();
    progress.begin_evaluation(3);
    sleep_for(0.1);
    progress.evaluating(20, 100);
    const double left = progress.left();  // the rest of this one, and the next
    EXPECT_GE(left, before + 0.4 + 0.5 - 0.01);
    sleep_for(0.3);
    progress.turn_to(Work::steps);
    EXPECT_GE(progress.spent(), 0.45);
    step(6);
    EXPECT_GE(progress.images_per_s(), 4 / of_steps) << "an evaluation is no step";
    EXPECT_GE(progress.left(), 0.4) << "the next evaluation";
    const double unsaved = progress.left();
    progress.turn_to(Work::saving);
    sleep_for(0.3);
    progress.turn_to(Work::steps);
    EXPECT_GE(progress.left(), unsaved + 4 * 0.3 / 6 - 0.01) << "more checkpoints like this one";
    for (int number = 7; number <= 10; ++number) step(number);
    progress.begin_evaluation(3);
    EXPECT_GE(progress.left(), 0.2) << "as long as the one before";
    progress.turn_to(Work::steps);
    EXPECT_LT(progress.left(), 0.01) << "none to come";
    EXPECT_GE(progress.spent(), 0.8);
  });
}

TEST(ProgressLine, EvaluationsAfterTheLastStepAreToCome) {
  printed({.total = 4, .evaluation_work = 3}, [](Progress& progress) {
    for (int step = 1; step <= 4; ++step) {
      progress.update(step, 1, 1);
      if (step % 2 != 0) continue;
      progress.begin_evaluation(1);
      sleep_for(0.1);
      progress.turn_to(Work::steps);
    }
    EXPECT_GE(progress.left(), 0.1);
  });
}

TEST(ProgressLine, GoesOnFromWhatWasSpentBefore) {
  const std::string text =
      printed({.total = 20, .start = 19, .spent_before = 3600}, [](Progress& progress) { progress.update(20, 1, 1); });
  EXPECT_NE(text.find("  1:00:00 spent"), std::string::npos) << text;
}

TEST(ProgressLine, SaysHowFarAnEvaluationIs) {
  const std::string text = printed({.total = 20, .epochs = 4, .interval = 0}, [](Progress& progress) {
    progress.update(5, 1, 1);
    progress.begin_evaluation(1);
    progress.evaluating(12'000, 60'000);
  });
  EXPECT_NE(text.find("\nepoch 1/4  step 5/20  evaluating 12,000/60,000  0:00 spent"), std::string::npos) << text;
}

}  // namespace
}  // namespace vergence
