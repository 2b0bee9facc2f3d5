#include "ssl/training/run_setup.h"

#include <algorithm>
#include <optional>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/choices.h"
#include "ssl/objective_list.h"
#include "ssl/steps/initial_weights.h"
#include "ssl/steps/setup.h"
#include "ssl/training/run_notes.h"

namespace vergence {

namespace {

ObjectiveSetup of_begun(ObjectiveSetup setup, bool begun) {
  setup.begun = begun;
  return setup;
}

/// `report` receives what was taken from the file of --init.
std::unique_ptr<Objective> objective_of(ObjectiveSetup setup, const ViewSettings& view, bool restored,
                                        std::string& report) {
  std::optional<InitialWeights> initial;
  if (!restored) initial = initial_weights(setup, view);
  if (initial) {
    report = initial->report;
    setup.initial = &initial->trained;
  }
  return make_objective(setup);
}

std::string notice_of_objective(const Options& options, const ViewSettings& view) {
  for (const ObjectiveEntry& entry : objective_entries())
    if (entry.name == options.objective && entry.notice) return entry.notice(options, view);
  return "";
}

}  // namespace

RunSetup::RunSetup(const Options& given, RunData& images, Backend& device, bool restored, Sharing ranks, bool begun)
    : options(given),
      data(images),
      backend(device),
      sharing(ranks),
      activations(activations_of(options, backend)),
      view(view_settings(options, data.train())[0]),
      steps_per_epoch(vergence::steps_per_epoch(options, data.train())),
      schedule(options, steps_per_epoch),
      objective(objective_of(
          of_begun(objective_setup(options, view.size, backend, view.channels, sharing.tensors), restored || begun),
          view, restored, initial)),
      notice(restored || begun ? "" : notice_of_objective(options, view)),
      plan(make_plan(options, data.train(), *objective, backend, sharing)),
      last_step(options.max_steps ? std::min(options.max_steps, schedule.steps()) : schedule.steps()),
      config(options_to_toml(options)) {
  // Every run needs un-augmented images, since figures are computed on them. A run that has begun is not checked again.
  if (!restored && !begun)
    check_view_settings(loader_settings(options, data.train(), *objective, 0, sharing).plain_view(), "--eval-resize");
}

std::unique_ptr<BatchSource> RunSetup::batches(std::int64_t step) const {
  return make_batch_source({.dataset = data.train(),
                            .settings = loader_settings(options, data.train(), *objective, step, sharing),
                            .backend = backend,
                            .activations = activations,
                            .reserve = plan.reserve()});
}

ExtractSettings RunSetup::judged_images() const {
  return {.image_size = view.size,
          .resize = options.eval_resize,
          .channels = view.channels,
          .mean = view.mean,
          .std = view.std};
}

std::string described(const RunSetup& run) {
  std::string text = plan_text(run.options, run.plan);
  if (!run.initial.empty()) text += "initial weights   " + run.initial + "\n";
  if (!run.notice.empty()) text += "notice: " + printable(run.notice) + "\n";
  if (!run.schedule.notice().empty()) text += run.schedule.notice() + "\n";
  for (const std::string& notice : run.data.train().notices) text += "notice: " + printable(notice) + "\n";
  return text;
}

namespace {

/// The line about the ranks, and a notice if mpirun leaves processors of the host unused: with one or two ranks, Open
/// MPI binds each to one core. Empty for one rank.
std::string ranks_text(const RunSetup& run) {
  const Sharing& sharing = run.sharing;
  if (sharing.ranks == 1) return "";
  std::string text = join("ranks             ", sharing.ranks, ", ", sharing.ranks_here,
                          " of them on this host, each with ", run.options.batch / sharing.ranks, " images of a batch");
  if (sharing.bound && sharing.processors < processors_of_host() / sharing.ranks_here)
    text += join("\nnotice: the launcher binds each rank to ", counted(sharing.processors, "processor"),
                 " of the host's ", processors_of_host(), "; mpirun --bind-to none lets the ranks share all");
  return text;
}

}  // namespace

void announce(const RunSetup& run, const std::string& folder, TrainLog& log) {
  const Options& options = run.options;
  const auto say = [&](const auto&... parts) { log.say(join(parts...)); };
  for (const std::string& line : options.applied) say(line);
  for (const std::string& notice : new_notices(run.data.train())) say("notice: ", printable(notice));
  say(plan_text(options, run.plan));
  if (!run.initial.empty()) say("initial weights   ", run.initial);
  say("device            ", device_text(options), "\nrun folder        ", printable(folder));
  if (const std::string ranks = ranks_text(run); !ranks.empty()) say(ranks);
  if (const std::string by = run.backend.convolutions_by(run.activations); !by.empty()) say("convolutions      ", by);
  if (!run.notice.empty()) say("notice: ", run.notice);
  if (!run.schedule.notice().empty()) say(run.schedule.notice());
  if (options.precision == Precision::bf16 && !run.backend.traits().fast_bf16)
    say("notice: this processor has no instructions for bf16; fp32 will be faster");
  if (options.weight_gradients == DType::bf16 && !run.backend.traits().rounds_weight_gradients)
    say("notice: --weight-gradients bf16 is for GPUs: they stay f32 on ", run.backend.name());
}

}  // namespace vergence
