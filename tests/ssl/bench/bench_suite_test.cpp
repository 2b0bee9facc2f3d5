// `bench suite` and the values that `bench` computes with.
#include <cmath>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "kernels/error.h"
#include "ssl/bench/operands.h"
#include "ssl/bench/ops.h"
#include "ssl/bench/suite.h"
#include "ssl/options/table.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

BenchSettings tiny(std::int64_t batch) {
  BenchSettings settings;
  settings.run.values.device = "cpu";
  settings.image = 8;
  settings.run.set("width", "2");
  settings.run.values.batch = batch;
  settings.projector = 8;
  settings.steps = 2;
  settings.warmup = 1;
  return settings;
}

TEST(BenchSuite, EverySettingIsTheStepItsNameSays) {
  const BenchSettings common = tiny(512);
  EXPECT_EQ(suite_names().size(), 5u);
  EXPECT_TRUE(suite_settings("simclr", common).run.values.record);
  EXPECT_FALSE(suite_settings("eager", common).run.values.record);
  EXPECT_EQ(suite_settings("own_kernels", common).run.values.conv, CudaConv::cuda);
  EXPECT_EQ(suite_settings("quarter_batch", common).run.values.batch, 128);
  EXPECT_EQ(suite_settings("barlow_twins", common).run.values.objective, "barlow_twins");
  EXPECT_EQ(suite_settings("barlow_twins", common).run.values.batch, 512);
  EXPECT_THROW(suite_settings("no_such", common), UsageError);
}

TEST(BenchOps, ListsTheOperationsOfTwoObjectivesAlone) {
  BenchSettings settings = tiny(8);
  settings.run.set("recompute", "on");
  expect_contains(message_of([&] { bench_ops(settings); }), {"bench ops: --recompute: only the operations of a step"});
  settings.run.set("recompute", "off");
  settings.run.set("objective", "byol");
  expect_contains(message_of([&] { bench_ops(settings); }), {"bench ops: --objective: 'byol' has operations that are"});
}

TEST(BenchSuite, ASettingThatFailsSaysWhyAndTheNextRuns) {
  std::vector<std::string> failed;
  for (const std::string& name : suite_names()) {
    const auto line = bench_suite(name, tiny(6));  // a quarter of it is one image
    EXPECT_EQ(line["setting"], name);
    if (line.contains("error")) {
      failed.push_back(name);
      expect_contains(line["error"], {"--batch: 1 images are too few, expected at least 2"});
    } else {
      EXPECT_GT(line["step_ms"].get<double>(), 0) << name;
      EXPECT_TRUE(std::isfinite(line["loss"].get<double>())) << name;
    }
  }
  EXPECT_EQ(failed, std::vector<std::string>{"quarter_batch"});
}

TEST(BenchSuite, TuningNeedsAChoice) {
  BenchSettings settings = tiny(6);
  settings.run.values.tune = true;
  settings.run.values.conv = CudaConv::cuda;
  EXPECT_THROW(bench_step(settings), UsageError);
}

TEST(BenchSettings, TakeWhatTheirEncoderBrings) {
  BenchSettings settings = tiny(6);
  EXPECT_EQ(option_text(bench_options(settings), "width"), "2");
  EXPECT_EQ(option_text(bench_options(settings), "stem"), "cifar");
  settings.image = 96;
  EXPECT_EQ(option_text(bench_options(settings), "stem"), "imagenet");
  settings.run.set("stem", "stl");
  EXPECT_EQ(option_text(bench_options(settings), "stem"), "stl");
  settings.run.set("encoder", "conv4");
  EXPECT_EQ(message_of([&] { bench_options(settings); }), "--width: conv4 has no such option");
}

TEST(BenchSettings, TheReportSaysWhatTheEncoderIs) {
  BenchSettings settings = tiny(6);
  settings.steps = 1;
  const auto report = bench_report(settings, bench_step(settings));
  EXPECT_EQ(report["width"], 2);
  EXPECT_EQ(report["stem"], "cifar");
  settings = {};
  settings.run.values.device = "cpu", settings.run.values.batch = 4, settings.steps = 1, settings.warmup = 0;
  settings.run.set("encoder", "conv4");
  EXPECT_FALSE(bench_report(settings, bench_step(settings)).contains("width"));
}

TEST(BenchOperands, HoldWhatTheySay) {
  constexpr std::int64_t size = (1 << 18) + 1000;  // more than a tile: its values begin again
  for (const DType type : {DType::f32, DType::bf16}) {
    const std::vector<double> normal = random_operand(cpu_backend(), size, type).values(),
                              rectified = random_operand(cpu_backend(), size, type, Content::rectified).values(),
                              padded = random_operand(cpu_backend(), size, type, Content::padded).values();
    ASSERT_EQ(normal.size(), static_cast<std::size_t>(size));
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < normal.size(); ++i) {
      sum += normal[i];
      squares += normal[i] * normal[i];
      ASSERT_EQ(rectified[i], std::max(normal[i], 0.0)) << i;
      ASSERT_EQ(padded[i], i % 8 < 3 ? normal[i] : 0) << i;
    }
    EXPECT_NEAR(sum / size, 0, 4 / std::sqrt(size));
    EXPECT_NEAR(squares / size, 1, 4 * std::sqrt(2.0 / size) + 1e-3);
  }
  std::int64_t ones = 0;
  for (const double byte : random_bits(cpu_backend(), 1000).values())
    ones += __builtin_popcount(static_cast<int>(byte));
  EXPECT_NEAR(static_cast<double>(ones), 4000, 4 * std::sqrt(2000));
}

}  // namespace
}  // namespace vergence
