#include "ssl/training/stages.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <utility>

#include "datasets/verify.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "ssl/objective_list.h"
#include "ssl/options/extension.h"
#include "ssl/steps/setup.h"
#include "ssl/training/resume.h"
#include "ssl/training/run_setup.h"
#include "ssl/training/step_timing.h"

namespace vergence {
namespace {

/// Both stages of a run.
struct Stages {
  Options first, second;
  std::string notice;  // on stage 1's schedule; empty, or a line
  void (*take_encoder)(Options& options, const std::string& file);
};

/// Scales the milestones to the new number of epochs. The warm-up keeps its length, but is at most these epochs
/// (Schedule cuts a warm-up as long as the run to a tenth). Returns a notice if the warm-up got shorter, else an empty
/// text.
std::string fit_schedule(Options& options, std::int64_t epochs_before) {
  const auto epochs = static_cast<double>(options.epochs);
  for (double& milestone : options.step_epochs) milestone = milestone * epochs / static_cast<double>(epochs_before);
  if (options.warmup_epochs <= epochs) return "";
  const double given = std::exchange(options.warmup_epochs, epochs);
  return join("notice: --warmup-epochs ", given, " is more than stage 1's ", counted(options.epochs, "epoch"), "\n");
}

/// None if the objective needs no first run.
std::optional<Stages> stages_of(const Options& options) {
  for (const ObjectiveEntry& entry : objective_entries()) {
    if (entry.name != options.objective || !entry.first_run) continue;
    const Options before = before_extensions(options);  // which lengthen stage 2 alone
    std::optional<Options> first = entry.first_run(before);
    if (!first) return {};
    std::string notice = fit_schedule(*first, before.epochs);
    first->out = (std::filesystem::path(options.run_folder()) / "stage1").string();
    Stages stages{std::move(*first), options, std::move(notice), entry.take_encoder};
    stages.take_encoder(stages.second, "");
    return stages;
  }
  return {};
}

/// The options in which two ranks differ, including those that a resumed run may change but ranks may not differ in.
std::vector<OptionDifference> differences_of_ranks(const Options& first, const Options& second) {
  std::vector<OptionDifference> found = differences(first, second);
  for (const char* name : {"figures", "eval-every", "max-steps", "checkpoint-every", "recompute-blocks"})
    if (option_text(first, name) != option_text(second, name))
      found.push_back({name, option_text(first, name), option_text(second, name)});
  return found;
}

/// Throws on all ranks unless they have the leader's options. The leader compares: whether two paths name one file may
/// depend on the host.
void require_same_options(const Options& own, World& world) {
  const std::vector<std::string> all = world.gather(options_to_toml(own));
  world.together([&] {
    for (std::size_t rank = 1; world.leads() && rank < all.size(); ++rank) {
      if (all[rank] == all[0]) continue;
      const Options other = options_from_toml(all[rank], join("the options of rank ", rank));
      const std::vector<OptionDifference> found = differences_of_ranks(own, other);
      if (found.empty()) continue;
      const auto shown = [](const std::string& value) { return value.empty() ? "unset" : value; };
      throw UsageError(join("rank ", rank, " has other options than rank 0: ", found[0].name, " is ",
                            shown(found[0].second), " on rank ", rank, " and ", shown(found[0].first),
                            " on rank 0: start all ranks with the same command and files"));
    }
  });
}

/// The leader opens the run folder; the others only read there.
void open_folder(std::optional<RunFolder>& folder, const Options& options, const World& world) {
  if (world.leads())
    folder.emplace(options.run_folder(), options.resume);
  else
    folder.emplace(RunFolder::Follow{}, options.run_folder(), options.resume);
}

/// Whether the run has a checkpoint of its own to go on from.
bool is_restored(const Options& options) {
  return options.resume && file_exists(std::filesystem::path(options.run_folder()) / "checkpoint.safetensors");
}

/// Whether the run has a checkpoint of its own or of its stage 1.
bool goes_on(const Options& options) {
  const std::filesystem::path stage1 = std::filesystem::path(options.run_folder()) / "stage1";
  return is_restored(options) || (options.resume && file_exists(stage1 / "checkpoint.safetensors"));
}

std::string heading(int stage, const Options& options) {
  return join("stage ", stage, " of 2: ", options.objective, ", ", counted(options.epochs, "epoch"), ", in ",
              printable(options.run_folder()), "\n");
}

/// The encoder for stage 2 and its progress, which --max-steps may have cut short.
void announce_encoder(const std::string& encoder, std::int64_t steps, const RunFolder& folder, TrainLog& log) {
  require_usage(file_exists(encoder), encoder, ": is missing, but the run in ", folder.path(),
                " needs it: restore it, or start over with another --out");
  const Metadata metadata = SafetensorsFile(encoder).metadata();
  const auto step = metadata.find("step");
  if (step == metadata.end()) return;
  log.say(join("stage 1 of 2: over, at step ", printable(step->second), " of ", steps));
}

TrainingResult run_stages(Stages& stages, RunData& data, RunFolder& folder, RunNotes& notes, World& world) {
  TrainingPlan plan;
  Backend& device = device_of(stages.second, world);
  const Sharing sharing = world.sharing(device);
  world.together([&] {  // refuses now what stage 2 would refuse
    plan = RunSetup(stages.second, data, device, folder.resuming(), sharing, goes_on(stages.second)).plan;
    require_own_run(folder, stages.second);
  });
  const std::string encoder = folder.first_stage() + "/encoder.safetensors";
  if (folder.resuming()) {
    world.together([&] { announce_encoder(encoder, plan.steps_per_epoch * stages.first.epochs, folder, notes.log); });
  } else {
    notes.begin(folder, stages.second, 0, sharing.ranks);
    folder.write_config(options_to_toml(stages.second));
    notes.log.say(heading(1, stages.first) + stages.notice);
    std::optional<RunFolder> of_stage;
    world.together([&] { open_folder(of_stage, stages.first, world); });
    RunNotes notes_of_stage(&notes);
    const TrainingResult result = train_run(stages.first, data, *of_stage, notes_of_stage, world);
    if (result.exit_status) {
      notes.log.say("stopped in stage 1 of 2: the same command with --resume goes on");
      return result;
    }
    stages.second.applied.clear();  // already shown by stage 1
  }
  stages.take_encoder(stages.second, encoder);
  notes.log.say(heading(2, stages.second));
  return train_run(stages.second, data, folder, notes, world);
}

struct TimedPlan {
  TrainingPlan plan;
  std::string text;
  double seconds = 0;  // of the whole run; 0: unknown
};

/// `restored`: as in RunSetup.
TimedPlan timed_plan(const Options& options, RunData& data, int ranks, bool restored) {
  TimedPlan timed;
  Backend& device = backend(options.device.c_str());
  const bool begun = restored || goes_on(options);
  {
    const RunSetup run(options, data, device, restored, {.ranks = ranks}, begun);  // freed before steps are timed
    timed.plan = run.plan;
    timed.text = described(run);
  }
  const StepTime time =
      ranks > 1 ? StepTime{0, "only a step of one rank can be timed"} : time_step(options, timed.plan, device, begun);
  timed.text += time_text(options, timed.plan, time);
  timed.seconds = time.seconds * static_cast<double>(planned_steps(options, timed.plan));
  return timed;
}

}  // namespace

TrainingResult pretrain(const Options& given, World& world) {
  Options options = given;
  if (!world.leads()) options.tensorboard = false;
  RunNotes notes(!world.leads());
  TrainingResult result;
  notes.around([&] {
    require_same_options(given, world);
    std::optional<RunFolder> folder;
    std::optional<RunData> data;
    std::optional<Stages> stages;
    world.together([&] {
      require_tunable(options);
      open_folder(folder, options, world);  // before anything slow
      if (options.verify)
        verify_dataset(dataset_settings(options), [&](const std::string& line) { notes.log.say(line); });
      data.emplace(options);
      settle_batch(options, data->train());
      if (options.eval_every > 0) data->require_judged(options.eval_limit);
      stages = stages_of(options);
    });
    result =
        stages ? run_stages(*stages, *data, *folder, notes, world) : train_run(options, *data, *folder, notes, world);
    return result.exit_status;
  });
  return result;
}

TrainingResult pretrain(const Options& options) {
  World alone;
  return pretrain(options, alone);
}

std::string describe_plan(const Options& given, int ranks) {
  Options options = given;
  RunData data(options);
  settle_batch(options, data.train());
  if (options.eval_every > 0) data.require_judged(options.eval_limit);
  std::string text;
  for (const std::string& line : options.applied) text += printable(line) + "\n";
  const std::optional<Stages> stages = stages_of(options);
  if (options.resume)
    require_own_run(RunFolder(RunFolder::Follow{}, options.run_folder(), true), stages ? stages->second : options);
  const bool restored = is_restored(options);
  if (!stages) return text + timed_plan(options, data, ranks, restored).text;
  const TimedPlan second = timed_plan(stages->second, data, ranks, restored);
  if (options.extend > 0) return text + heading(2, stages->second) + second.text;
  const TimedPlan first = timed_plan(stages->first, data, ranks, restored || is_restored(stages->first));
  const std::string whole = join("both stages       ", counted(first.plan.steps + second.plan.steps, "step"), ", ",
                                 flops_text(first.plan.flops() + second.plan.flops()));
  text += heading(1, stages->first) + stages->notice + first.text + heading(2, stages->second) + second.text + whole;
  return text + (first.seconds > 0 && second.seconds > 0 ? ", " + about_duration(first.seconds + second.seconds) : "") +
         "\n";
}

}  // namespace vergence
