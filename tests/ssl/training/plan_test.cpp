// What a plan says before anything is trained: which recipe applies, how long it takes, and the batch that a small data
// set gets where nobody chose one.
#include "ssl/steps/plan.h"

#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <string_view>

#include "ssl/options/builder.h"
#include "ssl/options/recipes.h"
#include "ssl/steps/setup.h"
#include "ssl/training/step_timing.h"
#include "tests/support/checked_backend.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// What `command` prints; it must end with that status.
std::string said(std::vector<std::string> command, const std::string& end = "exit 0") {
  command[0] = tool_path(command[0]);
  ToolProcess tool(command);
  EXPECT_EQ(tool.end(120), end) << tool.output();
  return tool.output();
}

TrainingPlan plan_of(const Options& options, int ranks = 1, Backend& device = cpu_backend()) {
  const Dataset data = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(objective_setup(options, data.view_size(), device));
  return make_plan(options, data, *objective, device, {.ranks = ranks});
}

TEST(Plan, DurationsReadWell) {
  EXPECT_EQ(about_duration(0.2), "about 1 second");
  EXPECT_EQ(about_duration(42), "about 42 seconds");
  EXPECT_EQ(about_duration(25 * 60), "about 25 minutes");
  EXPECT_EQ(about_duration(3.2 * 3600), "about 3.2 hours");
  EXPECT_EQ(about_duration(490 * 3600), "about 20 days (490 hours)");
}

TEST(Plan, SaysHowLongAndWhatWouldBeShorter) {
  Options options;
  options.recipe = "cifar10_simclr";
  options.batch = 256;
  TrainingPlan plan;
  plan.steps = 195000;
  EXPECT_EQ(time_text(options, plan, {256 / 28.0, ""}),
            "time              about 21 days (495 hours) at 28 images/s on this machine (steps alone)\n"
            "a shorter run     --config cifar10_simclr_short\n");
  EXPECT_EQ(time_text(options, plan, {0.012, ""}),
            "time              about 39 minutes at 21333 images/s on this machine (steps alone)\n");
  options.max_steps = 3;
  EXPECT_EQ(time_text(options, plan, {256 / 28.0, ""}),
            "time              about 27 seconds at 28 images/s on this machine (steps alone)\n");
  options.max_steps = 0;
  for (const char* chosen : {"", "stl10_simclr"}) {  // chosen by the user; without a short one
    options.recipe = chosen;
    EXPECT_FALSE(contains(time_text(options, plan, {256 / 28.0, ""}), "shorter")) << chosen;
  }
  EXPECT_EQ(time_text(options, plan, {0, "out of memory"}), "time              not tried: out of memory\n");
}

TEST(Plan, TimesTheStepsOfEveryObjective) {
  for (const std::string& objective : objective_names()) {
    Options options = small_run(small_options(objective, 4, 32));
    options.batch = 32;
    if (objective == "dsa") set_option(options, "dsa.prior_net", "random");
    const StepTime time = time_step(options, plan_of(options), cpu_backend());
    EXPECT_GT(time.seconds, 0) << objective << ": " << time.why_not;
    EXPECT_EQ(time.why_not, "") << objective;
  }
}

TEST(Plan, CountsWorkThatOnlySomeStepsDo) {
  const auto cost_of = [](const char* every) {
    Options options = small_options("icl_msr");
    set_options(options, {{"icl_msr.every", every}, {"icl_msr.strata", "2"}});
    return small_objective(options)->cost(options.batch);
  };
  const StepCost each = cost_of("1"), fourth = cost_of("4");
  EXPECT_EQ(each.occasional, 0);
  EXPECT_GT(fourth.occasional, 0);
  EXPECT_DOUBLE_EQ(fourth.flops + 3 * fourth.occasional, each.flops);
  const std::vector<TimedStep> steps{{1, 0}, {9, 1}, {2, 0}, {1.5, 0}};
  EXPECT_EQ(mean_step_seconds(steps, {.flops = 8}), 2) << "one kind of work: the median";
  EXPECT_EQ(mean_step_seconds(steps, {.flops = 8, .occasional = 4}), 3) << "1.5 of the usual ones, with twice the work";
  EXPECT_EQ(mean_step_seconds({{9, 1}}, {.flops = 8, .occasional = 4}), 9);
}

/// Has its own memory, but makes no views.
class GpuWithoutViews final : public test::CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  DeviceTraits traits() const override { return {.own_memory = true, .beside_host = true}; }
};

TEST(Plan, TellsTheDevicesMemoryFromTheHosts) {
  Options options = small_run(small_options("simclr", 4, 32));
  options.batch = 32;
  GpuWithoutViews gpu(cpu_backend());
  const TrainingPlan here = plan_of(options), there = plan_of(options, 1, gpu);
  const std::int64_t views = 2 * 32 * here.image_size * here.image_size * 3 * 4;
  EXPECT_EQ(here.bytes, here.step.bytes + here.source.images + (3 + 1) * views);
  EXPECT_EQ(here.host_bytes, 0);
  EXPECT_EQ(there.bytes, there.step.bytes + 3 * views) << "the views of a step and two buffers";
  EXPECT_EQ(there.host_bytes, there.source.images + 3 * views);
  EXPECT_TRUE(contains(plan_text(options, there), " MiB on the device, and "));
  EXPECT_FALSE(contains(plan_text(options, here), "on the device"));
}

TEST(Plan, CountsTheWholeBatchsMatricesOnEveryRank) {
  Options options = small_run(small_options("dsa", 4, 64));
  options.batch = 64;
  set_options(options, {{"dsa.prior_net", "random"}, {"dsa.eta", "4"}});
  const std::int64_t matrices = 4 * 12 * 64 * 64 * 8;
  const TrainingPlan alone = plan_of(options), shared = plan_of(options, 4);
  EXPECT_EQ(alone.step.shared_bytes, matrices);
  EXPECT_GT(shared.step.bytes, matrices);
  EXPECT_LT(shared.step.bytes, alone.step.bytes);
  Options fewer = options;
  fewer.batch = 16;
  EXPECT_EQ(shared.step.bytes - matrices, plan_of(fewer).step.bytes - matrices / 16);
}

TEST(Plan, OfALargeBatchFollowsFromSmallerOnes) {
  // 192 images are more work than is tried at once.
  Options options = small_options("simclr", 64, 192);
  options.image_size = 32;
  options.limit = 400;
  const TrainingPlan plan = plan_of(options);
  ASSERT_GT(plan.step.flops, 5e11);
  Options one = options;
  one.batch = 12;
  // An image takes as long in either. The bounds are wide, and there are five tries, because the machine may be busy.
  double ratio = 0;
  for (int attempt = 0; attempt < 5 && !(ratio > 0.2 && ratio < 4); ++attempt) {
    const StepTime whole = time_step(options, plan, cpu_backend());
    const StepTime part = time_step(one, plan_of(one), cpu_backend());
    ratio = whole.seconds / 192 / (part.seconds / 12);
  }
  EXPECT_GT(ratio, 0.2);
  EXPECT_LT(ratio, 4);
}

TEST(Plan, TimesMicroBatchesAsParts) {
  static int parts = 0;
  op_observer = [](const char* name) { parts += std::string_view(name) == "recomputed"; };
  Options options = small_options("simclr", 64, 192);  // more work than is tried at once
  options.image_size = 32;
  options.limit = 400;
  for (const std::int64_t micro_batch : {0, 96}) {
    parts = 0;
    options.micro_batch = micro_batch;
    EXPECT_GT(time_step(options, plan_of(options), cpu_backend()).seconds, 0);
    EXPECT_EQ(parts > 0, micro_batch > 0);
  }
  op_observer = nullptr;
}

TEST(Plan, RefusesNothingBecauseItCannotBeTimed) {
  Options options = small_run(small_options("simclr", 4, 16));
  options.weight_gradients = DType::bf16;  // goes with --precision bf16 alone, which a run refuses
  const std::string text = describe_plan(options);
  EXPECT_TRUE(contains(text, "time              not tried: --weight-gradients bf16: ")) << text;
}

TEST(LoaderSettings, HaveWhatTheObjectiveNeeds) {
  Dataset photographs;
  photographs.count = 20;
  photographs.zoom = 256.0 / 224;
  photographs.std = every_channel(1);
  const auto settings_of = [&](const char* objective, const Switches& more) {
    Options options = small_options(objective);
    options.image_size = 224;
    set_options(options, more);
    return loader_settings(options, photographs, *small_objective(options, DType::f32, 224), 0);
  };
  const LoaderSettings simclr = settings_of("simclr", {});
  EXPECT_FALSE(simclr.plain);
  EXPECT_EQ(simclr.fresh, FreshViews::none);
  const LoaderSettings dsa = settings_of("dsa", {{"dsa.prior_net", "pixels"}, {"dsa.eta", "3"}});
  EXPECT_TRUE(dsa.plain);
  EXPECT_EQ(dsa.plain_resize, 256) << "the short side before the center crop: not squeezed";
  const Switches of_images{{"icl_msr.build", "images"}, {"icl_msr.strata", "2"}, {"eval-resize", "300"}};
  const LoaderSettings icl_msr = settings_of("icl_msr", of_images);
  EXPECT_TRUE(icl_msr.plain);
  EXPECT_EQ(icl_msr.plain_resize, 300);
  EXPECT_EQ(icl_msr.fresh, FreshViews::same_images);
  EXPECT_EQ(settings_of("metamask", {{"metamask.meta_batch", "fresh"}}).fresh, FreshViews::other_images);
}

TEST(Plan, RefusesUnaugmentedImagesThatAreSmallerThanTheViews) {
  Options options = small_run(small_options("simclr", 4, 16));
  options.eval_resize = 15;
  EXPECT_TRUE(contains(message_of([&] { describe_plan(options); }), "--eval-resize: resize is 15, expected 0, or"));
  options.eval_resize = 16;
  describe_plan(options);
}

TEST(Plan, SaysWhichRecipeApplies) {
  const std::string text = said({"pretrain", "--plan", "--limit", "300", "--batch", "16", "--epochs", "1"});
  EXPECT_EQ(text.rfind("recipe " + find_recipe("confounded_shapes_simclr") + "\n", 0), 0u) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("\ntime +about \\d+ (seconds?|minutes) at [0-9.]+ images/s"))) << text;
}

TEST(Plan, OfTwoStagesAddsUp) {
  const std::string text = said({"pretrain", "--plan", "--objective", "dsa", "--dsa.prior_net", "stage1", "--limit",
                                 "96", "--width", "4", "--epochs", "2", "--batch", "32"});
  EXPECT_TRUE(contains(text, "stage 1 of 2: simclr")) << text;
  EXPECT_TRUE(std::regex_search(text, std::regex("both stages +12 steps, [0-9.]+ [GTP]FLOP, about \\d+ "))) << text;
}

TEST(Batch, OfASmallDataSetIsHalfOfIt) {
  Dataset data;
  data.name = "image_folder", data.split = "train";
  const auto settled = [&](std::int64_t images, std::int64_t batch, bool chosen) {
    data.count = images;
    Options options;
    options.batch = batch;
    options.lr = 0.0625;
    options.batch_chosen = chosen;
    settle_batch(options, data);
    return options;
  };
  EXPECT_EQ(settled(80, 256, false).batch, 40);
  EXPECT_EQ(settled(80, 256, false).applied,
            std::vector<std::string>{"batch of 40, not 256, since image_folder train has 80 images: learning rate "
                                     "0.00976562 (--batch chooses another)"});
  EXPECT_EQ(settled(81, 256, false).batch, 40);
  EXPECT_EQ(settled(512, 256, false).batch, 256);
  EXPECT_TRUE(settled(512, 256, false).applied.empty());
  EXPECT_EQ(settled(3, 256, false).batch, 2);
  EXPECT_EQ(settled(1, 256, false).batch, 2) << "which steps_per_epoch refuses";
  EXPECT_EQ(settled(80, 256, true).batch, 256) << "a batch that was chosen stays, and is refused";
}

/// 24 small images in a folder, and what a run on them takes.
class SmallFolder : public ::testing::Test {
 protected:
  void SetUp() override { images_.classes("train", 12); }
  std::vector<std::string> command(const std::string& run, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"pretrain",
                                   "--dataset",
                                   "image_folder",
                                   "--data",
                                   images_ / "train",
                                   "--width",
                                   "4",
                                   "--image-size",
                                   "16",
                                   "--simclr.hidden",
                                   "16",
                                   "--simclr.output",
                                   "8",
                                   "--epochs",
                                   "2",
                                   "--out",
                                   folder_ / run};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Options saved(const std::string& run) const { return options_from_toml(folder_.bytes(run + "/config.toml"), run); }

  ImageTree images_;
  TemporaryFolder folder_;
};

TEST_F(SmallFolder, GetsABatchThatSuitsIt) {
  const std::string line = "batch of 12, not 256, since image_folder train has 24 images: learning rate ";
  const std::string plan = said(command("run", {"--plan"}));
  EXPECT_TRUE(contains(plan, line)) << plan;
  EXPECT_TRUE(contains(plan, "steps             4 (2 epochs of 2; 24 images, 0 dropped in each)")) << plan;
  EXPECT_TRUE(contains(plan, "--warmup-epochs chooses another")) << plan;
  EXPECT_FALSE(fs::exists(folder_ / "run"));
  const std::string whole = said(command("run"));
  EXPECT_TRUE(contains(whole, line)) << whole;
  EXPECT_EQ(saved("run").batch, 12);
  // Stopped and gone on with by the same command, it ends as the same run.
  said(command("parts", {"--max-steps", "1"}));
  said(command("parts", {"--resume"}));
  EXPECT_EQ(folder_.bytes("run/encoder.safetensors"), folder_.bytes("parts/encoder.safetensors"));
  EXPECT_EQ(saved("parts").batch, 12);
  // By the saved options too.
  said({"pretrain", "--config", folder_ / "parts/config.toml", "--resume"});
}

TEST_F(SmallFolder, InTwoStagesGetsItInBoth) {
  const std::vector<std::string> dsa{"--objective", "dsa", "--dsa.prior_net", "stage1", "--dsa.eta", "3"};
  const std::string text = said(command("run", dsa));
  EXPECT_EQ(saved("run").batch, 12) << text;
  EXPECT_EQ(saved("run/stage1").batch, 12);
  std::vector<std::string> again = dsa;
  again.emplace_back("--resume");
  EXPECT_TRUE(contains(said(command("run", again)), "nothing left to do"));
}

TEST_F(SmallFolder, IsNotPlannedForWhatTheRunWouldRefuse) {
  EXPECT_TRUE(contains(said(command("run", {"--plan", "--eval-every", "1"}), "exit 2"), "no split 'test'"));
  const std::string text = said(command("run"));
  EXPECT_TRUE(contains(text, "notice: no kNN in this run: ")) << text;
  EXPECT_FALSE(contains(text, "--split")) << "an option of other tools: " << text;
  EXPECT_TRUE(contains(said({"pretrain", "--out", folder_ / "run", "--resume", "--lr", "3", "--plan"}, "exit 2"),
                       "cannot resume with other options: lr is "));
  EXPECT_TRUE(contains(said({"pretrain", "--out", folder_ / "run", "--resume", "--epochs", "4"}, "exit 2"),
                       "epochs is 2 there and 4 here; "))
      << "only this difference, with a hint at --extend";
}

TEST_F(SmallFolder, RefusesALargeBatchThatWasChosen) {
  const std::string refusal = "pretrain: --batch: 64 is larger than image_folder train with its 24 images\n";
  EXPECT_EQ(said(command("run", {"--batch", "64"}), "exit 2"), refusal);
  std::ofstream(folder_ / "own.toml") << "dataset = \"image_folder\"\nbatch = 64\n";
  EXPECT_EQ(said(command("run", {"--config", folder_ / "own.toml"}), "exit 2"), refusal);
  EXPECT_TRUE(contains(said(command("run", {"--config", "image_folder_simclr", "--plan"})), "batch of 12, not "))
      << "a shipped recipe is not the user's own file";
}

TEST(Workers, AutoIsByTheProcessorsOfThisProcess) {
  Options options;
  EXPECT_EQ(options.workers, 0);
  cpu_set_t before, some;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  // With all processors that there are, down to one.
  for (int all = CPU_COUNT(&before); all > 0; all /= 2) {
    CPU_ZERO(&some);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&some) < all; ++cpu)
      if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &some);
    ASSERT_EQ(sched_setaffinity(0, sizeof some, &some), 0);
    EXPECT_EQ(loader_workers(options, true), std::clamp(all / 2, 1, 16)) << all;
    EXPECT_EQ(loader_workers(options, false), std::clamp(all - 1, 1, 16)) << all;
  }
  sched_setaffinity(0, sizeof before, &before);
  options.workers = 7;
  EXPECT_EQ(loader_workers(options, true), 7);
  EXPECT_EQ(loader_workers(options, false), 7);
}

}  // namespace
}  // namespace vergence
