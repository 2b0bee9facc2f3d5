// `pretrain --extend`: the schedules by their formulas, the same bits however the extension is interrupted, refusals,
// and what is recorded.
#include "ssl/options/extension.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <numbers>

#include "engine/text/json_text.h"
#include "models/encoder_file.h"
#include "ssl/momentum_encoder.h"
#include "ssl/report/groups.h"
#include "ssl/steps/run_schedule.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double peak = 0.5 * 16 / 256;  // the rate of a small run

/// From 1 to 0 over `length`.
double half_cosine(double now, double length) { return (1 + std::cos(std::numbers::pi * now / length)) / 2; }

class Extended : public ::testing::Test {
 protected:
  /// Three epochs of four steps, the first of them warming up.
  Options tiny(const std::string& run, const std::string& objective = "simclr", const Switches& more = {}) const {
    Options options = small_options(objective, 4, 16, "32", "16");
    options.warmup_epochs = 1;
    options = small_run(options, folder_ / run);
    set_options(options, more);
    return options;
  }
  /// The options of a command on the run's folder.
  Options command(const std::string& run, std::vector<std::string> words) const {
    words.insert(words.begin(), {"pretrain", "--out", folder_ / run});
    std::vector<const char*> pointers;
    for (const std::string& word : words) pointers.push_back(word.c_str());
    return parse_pretrain(static_cast<int>(pointers.size()), pointers.data());
  }
  TrainingResult extend_run(const std::string& run, const std::string& epochs, const std::string& schedule,
                            std::int64_t max_steps = 0) const {
    Options options = command(run, {"--extend", epochs, "--extend-schedule", schedule});
    options.max_steps = max_steps;
    return pretrain(options);
  }
  Options resumed(const std::string& run) const {
    return command(run, {"--config", folder_ / (run + "/config.toml"), "--resume", "--max-steps", "0"});
  }
  void copy(const std::string& from, const std::string& to) const {
    fs::copy(folder_ / from, folder_ / to, fs::copy_options::recursive);
  }
  void expect_equal(const std::string& run, const std::string& other) const {
    EXPECT_EQ(folder_.bytes(run + "/encoder.safetensors"), folder_.bytes(other + "/encoder.safetensors")) << other;
    EXPECT_EQ(metrics_of(folder_, run), metrics_of(folder_, other)) << other;
  }

  TemporaryFolder folder_;
};

TEST_F(Extended, RatesFollowTheDocumentedFormulas) {
  for (const char* schedule : {"restart", "stretched"}) {
    pretrain(tiny(schedule));
    EXPECT_EQ(extend_run(schedule, "2", schedule).steps, 20);
    const std::vector<json> lines = metrics_of(folder_, schedule);
    ASSERT_EQ(lines.size(), 20u);
    for (int step = 0; step < 20; ++step) {
      const double now = step / 4.0;
      double expected = now < 1 ? peak * now : peak * half_cosine(now - 1, 2);
      if (step >= 12)
        expected = peak * (schedule == std::string("restart") ? half_cosine(now - 3, 2) : half_cosine(now - 1, 4));
      const json& line = lines[static_cast<std::size_t>(step)];
      EXPECT_EQ(line["step"], step + 1);
      EXPECT_EQ(line["epoch"], step / 4 + 1);
      EXPECT_NEAR(line["lr"].get<double>(), expected, 1e-12) << schedule << " " << step;
    }
  }
}

TEST_F(Extended, OtherSchedulesKeepTheirPlaces) {
  Options options = tiny("run");
  options.schedule = ScheduleKind::step;
  options.step_factor = 0.2, options.warmup_start = 3e-5;
  options.epochs = 14, options.step_epochs = {6, 9}, options.restarted_at = {10};
  RunSchedule schedule(options, 2);
  EXPECT_EQ(schedule.steps(), 28);
  EXPECT_EQ(schedule.at(0), 3e-5);
  EXPECT_NEAR(schedule.at(1), (3e-5 + peak) / 2, 1e-12);
  EXPECT_NEAR(schedule.at(19), peak * 0.04, 1e-12);
  EXPECT_NEAR(schedule.at(20), peak, 1e-12);  // drops after 6 / 10 and 9 / 10 of the four epochs: 2.4 and 3.6
  EXPECT_NEAR(schedule.at(24), peak, 1e-12);
  EXPECT_NEAR(schedule.at(25), peak * 0.2, 1e-12);
  options.restarted_at = {}, options.stretched_at = {10};
  schedule = RunSchedule(options, 2);
  EXPECT_NEAR(schedule.at(20), peak * 0.2, 1e-12);  // 8.4 and 12.6 of 14
  EXPECT_NEAR(schedule.at(26), peak * 0.04, 1e-12);

  // BYOL's momentum takes its place from the same spans.
  const MomentumSchedule momentum{0.9, 1};
  const auto at = [&](std::int64_t step) {
    const RunSchedule::Span span = schedule.span(step);
    return momentum.at({.step = step, .steps = span.steps, .first_step = span.first});
  };
  EXPECT_NEAR(at(19), 1 - 0.1 * half_cosine(19, 20), 1e-12);
  EXPECT_NEAR(at(20), 1 - 0.1 * half_cosine(20, 28), 1e-12);
  options.restarted_at = {10}, options.stretched_at = {};
  schedule = RunSchedule(options, 2);
  EXPECT_NEAR(at(20), 0.9, 1e-12);
  EXPECT_NEAR(at(26), 1 - 0.1 * half_cosine(6, 8), 1e-12);
}

TEST_F(Extended, NoticesAreAboutTheScheduleThatApplies) {
  Options options = tiny("run");
  options.epochs = 5, options.warmup_epochs = 10;
  const std::string cut = "warm-up of 10 epochs is not shorter than the run of 5: cut to 0.5 epochs; ";
  EXPECT_EQ(RunSchedule(options, 2).notice(), cut + "--warmup-epochs chooses another");
  options.epochs = 25, options.stretched_at = {5};
  EXPECT_EQ(RunSchedule(options, 2).notice(), "") << "it warms up as it should";
  options.stretched_at = {}, options.restarted_at = {5};
  EXPECT_EQ(RunSchedule(options, 2).notice(), "") << "it does not warm up again";
  options.epochs = 8, options.restarted_at = {}, options.stretched_at = {5};
  EXPECT_EQ(RunSchedule(options, 2).notice(),
            "warm-up of 10 epochs is not shorter than the run of 8: cut to 0.8 "
            "epochs; --warmup-epochs chooses another");
}

TEST_F(Extended, DropsAfterTheEndOfTheRunAreTold) {
  Options options = tiny("run");
  options.schedule = ScheduleKind::step;
  const auto notice = [&](std::int64_t epochs, const std::vector<double>& drops) {
    options.epochs = epochs, options.step_epochs = drops;
    return RunSchedule(options, 2).notice();
  };
  EXPECT_EQ(notice(200, {950, 975}),
            "the run ends after 200 epochs, before the learning rate's drops at 950, 975: it never drops; "
            "--step-epochs chooses others");
  EXPECT_EQ(notice(960, {100, 950, 960}),
            "the run ends after 960 epochs, before the learning rate's drop at 960; --step-epochs chooses others");
  EXPECT_EQ(notice(976, {950, 975}), "");
  options.warmup_epochs = 10;
  EXPECT_EQ(notice(8, {9.5}),
            "warm-up of 10 epochs is not shorter than the run of 8: cut to 0.8 epochs; --warmup-epochs chooses "
            "another\nthe run ends after 8 epochs, before the learning rate's drop at 9.5: it never drops; "
            "--step-epochs chooses others");
  const std::string line = "the run ends after 8 epochs, before the learning rate's drop at 9.5: it never drops; ";
  EXPECT_NE(describe_plan(options).find("\n" + line), std::string::npos) << "also in a plan";
  options.warmup_epochs = 1, options.stretched_at = {4};
  EXPECT_EQ(notice(8, {9.5}), "") << "its drops are no longer those of the option";
  options.stretched_at = {}, options.schedule = ScheduleKind::cosine;
  EXPECT_EQ(notice(8, {9.5}), "");
}

TEST_F(Extended, OnlyByolsMomentumTellsConstantSchedulesApart) {
  for (const char* objective : {"byol", "simclr"}) {
    const std::string run = objective;
    pretrain(tiny(run, objective, {{"schedule", "constant"}}));
    copy(run, run + "2");
    extend_run(run, "2", "restart");
    extend_run(run + "2", "2", "stretched");
    const bool equal = metrics_of(folder_, run) == metrics_of(folder_, run + "2");
    EXPECT_EQ(equal, run == "simclr");
  }
}

TEST_F(Extended, InterruptedOrAtOnceTheBitsAreTheSame) {
  for (const char* objective : {"simclr", "byol", "metamask", "dsa"})
    for (const char* schedule : {"restart", "stretched"}) {
      const std::string run = join(objective, schedule), parts = run + "_parts", again = run + "_again";
      Switches more{{"optimizer", objective == std::string("simclr") ? "adam" : "sgd"}};
      if (objective == std::string("metamask"))
        more.insert(more.end(), {{"metamask.redundancy_hidden", "32"},
                                 {"metamask.redundancy_output", "32"},
                                 {"metamask.contrastive_hidden", "32"},
                                 {"metamask.contrastive_output", "32"}});
      if (objective == std::string("dsa"))  // in two stages
        more.insert(more.end(), {{"dsa.eta", "3"}, {"dsa.mu", "1"}, {"dsa.warmup", "0.5"}});
      pretrain(tiny(run, objective, more));
      copy(run, parts);
      EXPECT_EQ(extend_run(run, "2", schedule).started_at, 12);
      EXPECT_EQ(extend_run(parts, "2", schedule, 14).steps, 14);  // stopped in an epoch, at its end, then whole
      Options options = resumed(parts);
      options.max_steps = 16;
      EXPECT_EQ(pretrain(options).started_at, 14);
      EXPECT_EQ(pretrain(resumed(parts)).started_at, 16);
      expect_equal(run, parts);
      options = options_from_file(folder_ / (run + "/config.toml"));
      options.out = folder_ / again;
      EXPECT_EQ(pretrain(options).started_at, 0) << "its config.toml describes the whole run";
      expect_equal(run, again);
    }
}

TEST_F(Extended, ARunCanBeExtendedTwice) {
  pretrain(tiny("run"));
  EXPECT_EQ(folder_.bytes("run/config.toml").find("_at"), std::string::npos);
  EXPECT_EQ(folder_.bytes("run/config.toml").find("-at"), std::string::npos) << "as earlier versions write it";
  extend_run("run", "1", "restart");
  EXPECT_EQ(extend_run("run", "2", "stretched").steps, 24);
  const std::vector<json> lines = metrics_of(folder_, "run");
  for (int step = 12; step < 24; ++step) {
    const double now = step / 4.0, expected = peak * (step < 16 ? half_cosine(now - 3, 1) : half_cosine(now - 1, 5));
    EXPECT_NEAR(lines[static_cast<std::size_t>(step)]["lr"].get<double>(), expected, 1e-12) << step;
  }
  Options options = options_from_file(folder_ / "run/config.toml");
  EXPECT_EQ(options.epochs, 6);
  EXPECT_EQ(options.restarted_at, std::vector<double>{3});
  EXPECT_EQ(options.stretched_at, std::vector<double>{4});
  EXPECT_TRUE(differences(before_extensions(options), tiny("run")).empty());
  options.out = folder_ / "again";
  pretrain(options);
  expect_equal("run", "again");
}

TEST_F(Extended, IsRecorded) {
  pretrain(tiny("run"));
  pretrain(tiny("longer", "simclr", {{"epochs", "5"}}));
  EXPECT_FALSE(load_encoder(folder_ / "run/encoder.safetensors", cpu_backend()).metadata.contains("extended"));
  ::testing::internal::CaptureStdout();
  extend_run("run", "2", "restart");
  const std::string said = ::testing::internal::GetCapturedStdout();
  for (const std::string& part : std::vector<std::string>{
           "extended          restart after 3 epochs: not the result of a run of 5 epochs (docs/running.md)\n",
           "extends " + folder_ / "run" +
               " from 3 to 5 epochs: the schedule starts again over the added epochs, without "
               "warm-up; the learning rate goes from 0.00118938 to 0.03125\n"})
    EXPECT_NE(said.find(part), std::string::npos) << part << said;
  const auto about = [&](const std::string& run) {
    return load_encoder(folder_ / (run + "/encoder.safetensors"), cpu_backend()).metadata;
  };
  EXPECT_EQ(about("run").at("extended"), "restart after 3 epochs");
  EXPECT_EQ(about("run").at("epoch"), about("longer").at("epoch"));
  EXPECT_NE(about("run").at("config_xxh128"), about("longer").at("config_xxh128"));
  const json runs = parse_json(folder_.bytes("run/run.json"))["runs"];
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_FALSE(runs[0].contains("extended"));
  EXPECT_EQ(runs[1]["extended"], "restart after 3 epochs");
  EXPECT_EQ(runs[1]["from_step"], 12);
  const std::vector<RunFiles> files = read_runs({folder_ / "run", folder_ / "longer"});
  EXPECT_EQ(files[0].unfinished, "");
  const Grouping grouping = group_runs(files);
  ASSERT_EQ(grouping.groups.size(), 2u);
  ASSERT_EQ(grouping.options.size(), 1u);
  EXPECT_EQ(grouping.options[0].name, "restarted-at");
  EXPECT_EQ(grouping.options[0].values, (std::vector<std::string>{"3", "unset"}));
}

TEST_F(Extended, KilledBeforeItsFirstCheckpointItIsTheExtendedRun) {
  pretrain(tiny("run"));
  copy("run", "whole");
  extend_run("whole", "2", "restart");
  const std::string encoder = folder_.bytes("run/encoder.safetensors");
  // as after a kill: the new options and some lines, but no new checkpoint
  std::string config = folder_.bytes("whole/config.toml");
  std::ofstream(folder_ / "run/config.toml") << config;
  std::ofstream(folder_ / "run/metrics.jsonl", std::ios::app) << R"({"step":13,"epoch":4,"loss":1})"
                                                              << "\n{\"st";
  EXPECT_EQ(load_encoder(folder_ / "run/encoder.safetensors", cpu_backend()).metadata.at("epoch"), "3");
  EXPECT_EQ(read_run(folder_ / "run").unfinished.find("step 13, epoch 4 of 5"), 0u);
  Options before = tiny("run");
  before.resume = true;
  expect_contains(message_of([&] { pretrain(before); }),
                  {"run/config.toml: cannot resume with other options: epochs is 5 there and 3 here, restarted-at is 3 "
                   "there and unset here; for the run's own give --out"});
  expect_contains(
      message_of([&] { extend_run("run", "2", "restart"); }),
      {"run: has 3 of 5 epochs: finish it first: pretrain --config ", "run/config.toml --out ", " --resume"});
  EXPECT_EQ(folder_.bytes("run/encoder.safetensors"), encoder);
  EXPECT_EQ(pretrain(resumed("run")).started_at, 12);
  expect_equal("whole", "run");
}

TEST_F(Extended, WhatCannotBeExtendedIsRefused) {
  const auto refusal = [&](const std::string& run, const std::vector<std::string>& words) {
    return message_of([&] { pretrain(command(run, words)); });
  };
  EXPECT_EQ(refusal("none", {"--extend", "2"}), "--extend: there is no " + folder_ / "none" +
                                                    "/config.toml: expected the folder of a finished run as --out");
  EXPECT_FALSE(fs::exists(folder_ / "none"));
  Options options = tiny("run");
  options.max_steps = 5;
  pretrain(options);
  const auto state = [&] { return folder_.bytes("run/config.toml") + folder_.bytes("run/metrics.jsonl"); };
  std::string before = state();
  expect_contains(refusal("run", {"--extend", "2", "--max-steps", "0"}),
                  {"run: has 1 of 3 epochs: finish it first: ", " --resume --max-steps 0"});
  testing::internal::CaptureStdout();
  EXPECT_EQ(pretrain(command("run", {"--resume"})).steps, 5);
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("nothing left to do at step 5: the run ends at --max-steps 5 of 12; --max-steps 0 goes on"),
            std::string::npos)
      << said;
  options.max_steps = 12, options.resume = true;
  pretrain(options);
  options.max_steps = 5;
  testing::internal::CaptureStdout();
  pretrain(options);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("nothing left to do at step 12\n"), std::string::npos);
  options.max_steps = 12;
  pretrain(options);
  before = state();
  expect_contains(refusal("run", {"--extend", "2"}), {"--max-steps: 12 would end the run before the added epochs"});
  expect_contains(refusal("run", {"--extend", "0"}), {"--extend: expected a whole number from 1 to "});
  expect_contains(refusal("run", {"--extend=-2"}), {"--extend: expected a whole number from 1 to "});
  expect_contains(refusal("run", {"--extend", "2", "--epochs", "5"}), {"--epochs: not with --extend"});
  expect_contains(refusal("run", {"--extend-schedule", "restart"}), {"--extend-schedule: goes with --extend alone"});
  expect_contains(refusal("run", {"--extend", "2", "--extend-schedule", "more"}), {"expected restart or stretched"});
  expect_contains(refusal("run", {"--extend", "2", "--config", "cifar10_simclr"}), {"--extend: takes the options of "});
  expect_contains(refusal("run", {"--extend", "2", "--lr", "3", "--max-steps", "0"}),
                  {"cannot resume with other options: lr is 0.5 there and 3 here; for"});
  expect_contains(refusal("run", {"--config", folder_ / "run/config.toml", "--resume", "--epochs", "5"}),
                  {"epochs is 3 there and 5 here; ", "; once the run has ended, --extend 2 adds epochs"});
  expect_contains(refusal("x", {"--restarted-at", "1.5"}), {"--restarted-at: expected whole numbers below the "});
  expect_contains(refusal("x", {"--stretched-at", "1000000"}), {"--stretched-at: expected whole numbers below the "});
  expect_contains(refusal("x", {"--stretched-at", "5", "--restarted-at", "5"}), {"expected different epochs"});
  EXPECT_EQ(state(), before);
  fs::remove(folder_ / "run/checkpoint.safetensors");
  fs::remove(folder_ / "run/encoder.safetensors");
  expect_contains(refusal("run", {"--extend", "2", "--max-steps", "0"}), {"run: has no checkpoint.safetensors"});
  EXPECT_EQ(state(), before);
}

TEST_F(Extended, ItsPlanTellsTheAddedWork) {
  pretrain(tiny("run"));
  const std::string plan = describe_plan(command("run", {"--extend", "2", "--plan"}));
  for (const char* part : {"steps             20 (5 epochs of 4; ",
                           "extended          restart after 3 epochs: ", " for the added epochs at "})
    EXPECT_NE(plan.find(part), std::string::npos) << part << plan;
  EXPECT_EQ(options_from_file(folder_ / "run/config.toml").epochs, 3);
}

}  // namespace
}  // namespace vergence
