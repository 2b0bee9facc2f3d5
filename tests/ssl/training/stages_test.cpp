// Runs of two stages: DSA from nothing trains its base first, and its encoder is the prior. Stops in either stage,
// refusals before the first, and what a plan says.
#include "ssl/training/stages.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/text/json_text.h"
#include "models/encoder_file.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class Staged : public ::testing::Test {
 protected:
  /// DSA whose prior is to be trained: three epochs of four steps in either stage.
  Options tiny(const std::string& run, const Switches& switches = {}) const {
    Options options = small_options("dsa", 4, 16);
    set_options(options, {{"dsa.eta", "3"}, {"dsa.mu", "1"}, {"dsa.calibration_batches", "6"}});
    options = small_run(options, folder_ / run);
    set_options(options, switches);
    return options;
  }

  /// What `call` prints.
  template <class F>
  std::string said(F&& call) const {
    ::testing::internal::CaptureStdout();
    call();
    return ::testing::internal::GetCapturedStdout();
  }

  Options saved(const std::string& file) const { return options_from_toml(folder_.bytes(file), file); }
  std::size_t lines(const std::string& run) const {
    return fs::exists(folder_ / (run + "/metrics.jsonl")) ? metrics_of(folder_, run).size() : 0;
  }

  TemporaryFolder folder_;
};

void expect_said(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) EXPECT_NE(text.find(part), std::string::npos) << part << " not in:\n" << text;
}

TEST_F(Staged, FromNothingTheBaseTrainsThePrior) {
  for (const char* base : {"simclr", "byol"}) {
    const std::string run = base, alone = run + "_alone", given = run + "_given";
    Options options = tiny(run, {{"dsa.base", base}, {"epochs", "2"}});
    const std::string text = said([&] { EXPECT_EQ(pretrain(options).steps, 8); });
    expect_said(text, {join("stage 1 of 2: ", base, ", 2 epochs, in ", folder_ / run, "/stage1\n"),
                       "stage 2 of 2: dsa, 2 epochs, in " + folder_ / run + "\n"});
    for (const char* stage : {"", "/stage1"}) {
      EXPECT_EQ(lines(run + stage), 8u);
      for (const char* file : {"/config.toml", "/checkpoint.safetensors", "/encoder.safetensors"})
        EXPECT_TRUE(fs::exists(folder_ / (run + stage + file))) << stage << file;
    }
    EXPECT_TRUE(differences(saved(run + "/config.toml"), options).empty());

    // Stage 1 is the base's own run,
    Options plain = tiny(alone);
    plain.objective = base;
    plain.epochs = 2;
    plain.components = small_run(small_options(base, 4, 16)).components;
    pretrain(plain);
    EXPECT_EQ(folder_.bytes(run + "/stage1/encoder.safetensors"), folder_.bytes(alone + "/encoder.safetensors"));
    EXPECT_EQ(metrics_of(folder_, run + "/stage1"), metrics_of(folder_, alone));
    // and stage 2 that with its encoder as the file.
    options.out = folder_ / given;
    set_option(options, "dsa.prior_file", folder_ / (alone + "/encoder.safetensors"));
    EXPECT_EQ(said([&] { pretrain(options); }).find("stage"), std::string::npos);
    EXPECT_FALSE(fs::exists(folder_ / (given + "/stage1")));
    EXPECT_EQ(metrics_of(folder_, run), metrics_of(folder_, given));
  }
}

TEST_F(Staged, TheFirstHasEpochsAndAScheduleOfItsOwn) {
  const auto first_of = [&](const std::string& run, const Switches& switches) {
    Options options = tiny(run, {{"schedule", "step"}, {"step-epochs", "200,250"}, {"warmup-epochs", "30"}});
    options.epochs = 300;
    options.max_steps = 1;
    set_options(options, switches);
    EXPECT_EQ(pretrain(options).steps, 1);
    EXPECT_EQ(lines(run + "/stage1"), 1u) << "--max-steps cuts both stages";
    EXPECT_EQ(saved(run + "/config.toml").epochs, options.epochs);
    return saved(run + "/stage1/config.toml");
  };
  Options first = first_of("default", {});
  EXPECT_EQ(first.objective, "simclr");
  EXPECT_EQ(first.epochs, 100);
  ASSERT_EQ(first.step_epochs.size(), 2u);
  EXPECT_NEAR(first.step_epochs[0], 200.0 / 3, 1e-12);
  EXPECT_NEAR(first.step_epochs[1], 250.0 / 3, 1e-12);
  EXPECT_EQ(first.warmup_epochs, 30);
  first = first_of("chosen", {{"dsa.stage1_epochs", "6"}});
  EXPECT_EQ(first.epochs, 6);
  EXPECT_EQ(first.step_epochs, (std::vector<double>{4, 5}));
  EXPECT_EQ(first.warmup_epochs, 6);
  first = first_of("short", {{"epochs", "7"}, {"dsa.base", "barlow_twins"}});
  EXPECT_EQ(first.objective, "barlow_twins");
  EXPECT_EQ(first.epochs, 7);
  EXPECT_EQ(first.step_epochs, (std::vector<double>{200, 250}));
}

TEST_F(Staged, ThereIsOneStageWhereNoSuchNetworkIsNeeded) {
  for (const Switches& switches : {Switches{{"dsa.prior_net", "ema"}}, Switches{{"dsa.prior_net", "none"}},
                                   Switches{{"dsa.lambda1", "0"}, {"dsa.lambda2", "0"}}}) {
    Options options = tiny(switches[0].second, switches);
    options.max_steps = 1;
    pretrain(options);
    EXPECT_FALSE(fs::exists(options.out + "/stage1"));
    EXPECT_EQ(describe_plan(options).find("stage"), std::string::npos);
  }
  for (const char* option : {"dsa.prior_net", "dsa.preset"}) {
    const Options options =
        tiny("supervised", {{option, option == std::string("dsa.preset") ? "dsa-code" : "supervised"}});
    EXPECT_EQ(message_of([&] { pretrain(options); }),
              "--dsa.prior_net supervised: expected the encoder.safetensors of an earlier run as --dsa.prior_file");
    EXPECT_FALSE(fs::exists(options.out));
  }
}

TEST_F(Staged, AnEncoderOfFewStepsIsNotTrainedOnOnceItIsUsed) {
  Options options = tiny("run");
  options.max_steps = 2;
  pretrain(options);
  const std::string encoder = folder_.bytes("run/stage1/encoder.safetensors");
  options.resume = true;
  options.max_steps = 4;
  const std::string text = said([&] { EXPECT_EQ(pretrain(options).started_at, 2); });
  expect_said(text, {"stage 1 of 2: over, at step 2 of 12\nstage 2 of 2: dsa", "resumed at step 2\n"});
  EXPECT_EQ(folder_.bytes("run/stage1/encoder.safetensors"), encoder);
  // Lost, it cannot be made again: stage 2 has begun with it.
  fs::remove(folder_ / "run/stage1/encoder.safetensors");
  options.max_steps = 0;
  EXPECT_EQ(message_of([&] { pretrain(options); }),
            join(folder_ / "run/stage1/encoder.safetensors", ": is missing, but the run in ", folder_ / "run",
                 " needs it: restore it, or start over with another --out"));
  // A run that had a file and comes without it is told so.
  options = tiny("given", {{"dsa.prior_file", folder_ / "run/encoder.safetensors"}});
  options.max_steps = 1;
  pretrain(options);
  options.resume = true;
  set_option(options, "dsa.prior_file", "");
  expect_contains(message_of([&] { pretrain(options); }), {"dsa.prior_file is ", " there and unset here"});
}

TEST_F(Staged, WhatCannotBeIsRefusedBeforeTheFirst) {
  const auto refusal = [&](const Options& options) { return message_of([&] { pretrain(options); }); };
  Options options = tiny("run", {{"dsa.eta", "16"}});
  EXPECT_EQ(refusal(options), "--dsa.eta: expected less than the batch of 16, got 16");
  options = tiny("run");
  options.batch = 71;
  expect_contains(refusal(options), {"--batch: 71 is larger than"});
  options = tiny("run", {{"dsa.base", "dsa"}});
  expect_contains(refusal(options), {"--dsa.base: there is no base method 'dsa'"});
  options = tiny("run");
  options.tune = true;
  options.cpu_conv = CpuConv::direct;
  expect_contains(refusal(options), {"--tune: "});
  EXPECT_FALSE(fs::exists(options.out));

  options = tiny("file/run");
  std::ofstream(folder_ / "file") << "a file";
  expect_contains(refusal(options), {folder_ / "file/run: cannot create the folder: "});
  options = tiny("run");
  {
    const RunFolder other(options.out, false);
    EXPECT_EQ(refusal(options), options.out + ": another process is using this run folder");
  }
  fs::create_directories(options.out + "/stage1");
  expect_contains(refusal(options), {options.out + ": already holds a run: continue it with --resume"});
  fs::remove(options.out + "/stage1");
  std::ofstream(options.out + "/encoder.safetensors") << "";
  expect_contains(refusal(options), {options.out + ": already holds a run"});
  options.resume = true;
  expect_contains(refusal(options), {options.out + ": has encoder.safetensors but no checkpoint"});
  fs::remove(options.out + "/encoder.safetensors");
  options.lr = 0.25;
  std::ofstream(options.out + "/config.toml") << options_to_toml(tiny("run"));
  expect_contains(refusal(options), {options.out + "/config.toml: cannot resume with other options: lr is 0.5 there"});
  EXPECT_FALSE(fs::exists(options.out + "/stage1"));
}

TEST_F(Staged, OptionsThatTheFirstWasTrainedWithStay) {
  Options options = tiny("run");
  pretrain(options);
  // As it is after a kill in stage 1, but for the run's own config.toml, which has been changed.
  for (const char* file : {"checkpoint.safetensors", "encoder.safetensors", "metrics.jsonl"})
    fs::remove(folder_ / ("run/" + std::string(file)));
  options.resume = true;
  options.lr = 0.25;
  std::ofstream(options.out + "/config.toml") << options_to_toml(options);
  expect_contains(message_of([&] { pretrain(options); }),
                  {options.out + "/stage1/checkpoint.safetensors: cannot resume with other options: lr is 0.5 there"});
}

TEST_F(Staged, WhatEarlierVersionsTrainedGoesOnAndNothingElse) {
  Options options = tiny("run", {{"dsa.mu", "3"}});  // as many neighbors as an image has
  for (const bool resume : {false, true}) {          // there is nothing to go on with
    options.resume = resume;
    expect_contains(message_of([&] { pretrain(options); }), {"--dsa.mu: 3, but a neighbor has only --dsa.eta, 3"});
    expect_contains(message_of([&] { describe_plan(options); }), {"--dsa.mu: 3, but a neighbor has only"});
    EXPECT_FALSE(fs::exists(options.out));
  }
  // A run of an earlier version that was stopped in stage 1.
  Options before = tiny("run");
  before.max_steps = 2;
  pretrain(before);
  for (const char* file : {"checkpoint.safetensors", "encoder.safetensors", "metrics.jsonl"})
    fs::remove(folder_ / ("run/" + std::string(file)));
  options.max_steps = 2;
  std::ofstream(options.out + "/config.toml") << options_to_toml(options);
  expect_said(describe_plan(options), {"stage 2 of 2: dsa, ", "time              about "});
  EXPECT_EQ(pretrain(options).started_at, 0);
  EXPECT_EQ(lines("run"), 2u);
  // In stage 2.
  options.max_steps = 4;
  EXPECT_EQ(pretrain(options).started_at, 2);
  const std::string plan = describe_plan(options);
  expect_said(plan, {"time              about "});
  EXPECT_EQ(plan.find("not tried"), std::string::npos) << plan;
}

TEST_F(Staged, ThePlanHasBothStages) {
  const Options options = tiny("run", {{"dsa.stage1_epochs", "2"}});
  const std::string plan = describe_plan(options);
  const std::size_t second = plan.find("stage 2 of 2: dsa, 3 epochs, in " + options.out + "\n");
  ASSERT_NE(second, std::string::npos) << plan;
  expect_said(plan.substr(0, second), {"stage 1 of 2: simclr, 2 epochs, in " + options.out + "/stage1\n", " (simclr)\n",
                                       "steps             8 (2 epochs of 4; "});
  expect_said(plan.substr(second),
              {" (dsa)\n", "steps             12 (3 epochs of 4; ", "\nboth stages       20 steps, "});
  EXPECT_FALSE(fs::exists(options.out));
  expect_said(describe_plan(tiny("run", {{"dsa.stage1_epochs", "2"}, {"warmup-epochs", "30"}})),
              {"notice: --warmup-epochs 30 is more than stage 1's 2 epochs\n", "the run of 2: cut to 0.2 epochs"});
  // An encoder that is still to be trained costs what a trained one does.
  Options short_run = tiny("run");
  short_run.max_steps = 1;
  pretrain(short_run);
  const std::string second_alone =
      describe_plan(tiny("x", {{"dsa.prior_file", folder_ / "run/stage1/encoder.safetensors"}}));
  // All but the line of the time, which the clock tells.
  const std::string costs = second_alone.substr(0, second_alone.find("time  "));
  EXPECT_LT(costs.size(), second_alone.size()) << second_alone;
  EXPECT_NE(plan.find(costs, second), std::string::npos) << second_alone;
}

TEST_F(Staged, ThePlanReadsInitialWeightsForAStageThatIsToStart) {
  const std::string file = folder_ / "initial.safetensors";
  Options options = tiny("run", {{"init", file}, {"epochs", "1"}});
  const auto save = [&] {
    save_encoder(file, make_encoder(encoder_settings(options, 16), {cpu_backend(), 3}), {}, {});
  };
  save();
  pretrain(options);
  fs::remove(file);
  options.resume = true;
  expect_said(describe_plan(options), {"stage 2 of 2: dsa", "both stages "});
  fs::remove(folder_ / "run/stage1/checkpoint.safetensors");  // no longer needed
  expect_said(describe_plan(options), {"stage 2 of 2: dsa", "both stages "});
  fs::copy(folder_ / "run/checkpoint.safetensors", folder_ / "run/stage1/checkpoint.safetensors");
  fs::remove(folder_ / "run/checkpoint.safetensors");  // as after a kill in stage 1: the next one starts from the file
  expect_contains(message_of([&] { describe_plan(options); }), {"--init: " + file});
  save();
  const std::string plan = describe_plan(options);
  EXPECT_EQ(plan.substr(0, plan.find("stage 2 of 2")).find("initial weights"), std::string::npos) << plan;
  expect_said(plan.substr(plan.find("stage 2 of 2")), {"initial weights   "});
}

/// Runs of processes that signals end.
class StagedTool : public Staged {
 protected:
  static constexpr std::size_t steps = 40;  // of either stage: more than a stop can come too late by

  std::vector<std::string> command(const std::string& run, bool resume) const {
    std::vector<std::string> words{tool_path("pretrain")};
    for (const char* word : {"--objective",
                             "dsa",
                             "--dataset",
                             "confounded_shapes",
                             "--image-size",
                             "16",
                             "--limit",
                             "70",
                             "--batch",
                             "16",
                             "--width",
                             "4",
                             "--simclr.hidden",
                             "12",
                             "--simclr.output",
                             "6",
                             "--epochs",
                             "10",
                             "--dsa.prior_net",
                             "stage1",
                             "--checkpoint-every",
                             "1",
                             "--device",
                             "cpu"})
      words.emplace_back(word);
    words.insert(words.end(), {"--out", folder_ / run});
    if (resume) words.emplace_back("--resume");
    return words;
  }

  /// Starts the run, or goes on with it, and ends it by `signal` once so many steps of a stage are logged. What it
  /// said.
  std::string stop(const std::vector<std::string>& words, const std::string& stage, std::size_t step,
                   int signal) const {
    ToolProcess tool(words);
    EXPECT_TRUE(comes_true([&] { return lines_now(stage) >= step; })) << tool.output();
    tool.send(signal);
    EXPECT_EQ(tool.end(), signal == SIGKILL ? "signal 9" : join("exit ", 128 + signal)) << tool.output();
    EXPECT_LT(lines_now(stage), steps) << "the stage was over before the signal came: nothing is shown";
    return tool.output();
  }

  /// Lines that are whole by now.
  std::size_t lines_now(const std::string& run) const {
    const std::string file = folder_ / (run + "/metrics.jsonl");
    if (!fs::exists(file)) return 0;
    const std::string text = read_file(file);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

TEST_F(StagedTool, StoppedInEitherStageARunGoesOnBitForBit) {
  ToolProcess whole(command("whole", false));
  EXPECT_EQ(whole.end(), "exit 0") << whole.output();
  EXPECT_EQ(lines("whole"), steps);
  EXPECT_EQ(lines("whole/stage1"), steps);

  stop(command("run", false), "run/stage1", 5, SIGKILL);
  EXPECT_FALSE(fs::exists(folder_ / "run/checkpoint.safetensors"));
  ToolProcess again(command("run", false));
  EXPECT_EQ(again.end(), "exit 2");
  expect_said(again.output(), {folder_ / "run: already holds a run: continue it with --resume"});

  std::string text = stop(command("run", true), "run/stage1", 12, SIGINT);
  expect_said(text,
              {"stopped by a signal at step ", "\nstopped in stage 1 of 2: the same command with --resume goes on\n"});

  // Moved, and named by its config.toml: that still says where it lay.
  fs::rename(folder_ / "run", folder_ / "moved");
  const std::string config = folder_ / "moved/config.toml";
  ToolProcess elsewhere({tool_path("pretrain"), "--config", config, "--resume"});
  EXPECT_EQ(elsewhere.end(), "exit 2");
  expect_said(elsewhere.output(), {config + " lies beside a checkpoint, but the run folder is " + folder_ / "run"});
  const std::vector<std::string> resume{tool_path("pretrain"), "--config", config, "--out",
                                        folder_ / "moved",     "--resume"};
  text = stop(resume, "moved", 5, SIGKILL);
  expect_said(text, {"stage 1 of 2: simclr, 10 epochs, in " + folder_ / "moved/stage1", "\nresumed at step ",
                     "\nstage 2 of 2: dsa, 10 epochs"});
  const fs::file_time_type trained = fs::last_write_time(folder_ / "moved/stage1/encoder.safetensors");
  text = stop(resume, "moved", 16, SIGTERM);
  expect_said(text, {"stage 1 of 2: over, at step 40 of 40\n", "\nresumed at step "});
  ToolProcess last(resume);
  EXPECT_EQ(last.end(), "exit 0") << last.output();
  EXPECT_EQ(fs::last_write_time(folder_ / "moved/stage1/encoder.safetensors"), trained);

  for (const std::string stage : {"", "/stage1"}) {
    EXPECT_EQ(folder_.bytes("whole" + stage + "/encoder.safetensors"),
              folder_.bytes("moved" + stage + "/encoder.safetensors"));
    EXPECT_EQ(metrics_of(folder_, "whole" + stage), metrics_of(folder_, "moved" + stage)) << stage;
  }

  // What both have written of themselves: null where they were killed.
  const auto exits = [&](const std::string& run) {
    std::string text;
    const nlohmann::json record = parse_json(folder_.bytes(run + "/run.json"));
    for (const auto& entry : record["runs"]) text += entry["exit"].dump() + " ";
    return text;
  };
  EXPECT_EQ(exits("moved/stage1"), "null 130 0 ");
  EXPECT_EQ(exits("moved"), "null 130 null 143 0 ");
  const auto entries = parse_json(folder_.bytes("moved/run.json"))["runs"];
  EXPECT_EQ(entries[1]["to_step"], 0) << "none of its own";
  EXPECT_EQ(entries[4]["from_step"], entries[3]["to_step"]);
  EXPECT_EQ(entries[4]["to_step"], 40);
  const std::string log = folder_.bytes("moved/train.log"), of_first = folder_.bytes("moved/stage1/train.log");
  expect_said(log, {"stage 1 of 2: simclr", "stopped by a signal at step ", "stopped in stage 1 of 2", "stage 2 of 2",
                    text.substr(text.rfind("stopped by a signal"))});
  expect_said(of_first, {"stopped by a signal at step ", "done: 40 steps"});
  EXPECT_EQ(of_first.find("stage 2"), std::string::npos);
}

}  // namespace
}  // namespace vergence
