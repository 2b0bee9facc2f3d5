#include "ssl/training/resume.h"

#include <omp.h>
#include <optional>

#include "engine/io/files.h"
#include "engine/text/words.h"
#include "ssl/options/extension.h"
#include "ssl/training/checkpoint.h"

namespace vergence {
namespace {

/// A warning if the images are not the ones the run started with.
std::string other_data(const RunPosition& began, RunData& data) {
  const Dataset& now = data.train();
  if (began.images > 0 && began.images != now.count)
    return join("warning: the run started with ", began.images, " images and continues with ", now.count,
                ": its epochs differ");
  const bool images = !began.data.images.empty() && began.data.images != data.fingerprint().images;
  const bool labels = !began.data.labels.empty() && began.data.labels != data.fingerprint().labels;
  if (!images && !labels) return "";
  return join("warning: the run continues with other ", images ? "images" : "labels",
              " than it started with: as many, but ",
              !images      ? "their classes differ"
              : now.source ? "names or sizes of their files differ"
                           : "their pixels differ");
}

/// Throws UsageError if the checkpoint's run cannot continue with these options. --extend writes config.toml before the
/// first new checkpoint: from then on the run is the extended one.
void require_continues(const RunPosition& position, const RunFolder& folder, const Options& now) {
  const Options saved = options_from_toml(position.config, folder.checkpoint());
  std::optional<Options> extended;
  try {
    if (file_exists(folder.config())) extended = options_from_toml(read_file(folder.config()), folder.config());
    if (extended && extended->epochs > saved.epochs) require_resumable(saved, *extended, folder.checkpoint());
  } catch (const Error&) {
    extended.reset();  // config.toml cannot be read, or is of another run: compare with the checkpoint's options
  }
  if (extended && extended->epochs > saved.epochs)
    require_resumable(*extended, now, folder.config());
  else
    require_resumable(saved, now, folder.checkpoint());
}

/// Throws UsageError unless the run in the folder has done exactly the epochs before this extension.
void require_finished(const RunSetup& run, const RunPosition& position, const RunFolder& folder) {
  const std::int64_t epochs = run.options.epochs - run.options.extend;
  const std::string& path = folder.path();
  const bool cut_short = options_from_toml(position.config, folder.checkpoint()).max_steps > 0;
  require_usage(position.epoch >= epochs, path, ": has ", position.epoch, " of ", counted(epochs, "epoch"),
                ": finish it first: pretrain --config ", folder.config(), " --out ", path, " --resume",
                cut_short ? " --max-steps 0" : "");
  require_usage(position.step == epochs * run.steps_per_epoch, path, ": its checkpoint is at step ", position.step,
                ", but ", counted(epochs, "epoch"), " of its images have ", epochs * run.steps_per_epoch,
                " steps: only a finished run can be extended, with the images it began with");
  require_usage(run.last_step > position.step, "--max-steps: ", run.options.max_steps,
                " would end the run before the added epochs: give --max-steps 0");
}

/// "extends runs/x from 10 to 20 epochs, ...".
std::string extension_line(const RunSetup& run, const std::string& folder) {
  const Options& options = run.options;
  const std::int64_t epochs = options.epochs - options.extend, step = epochs * run.steps_per_epoch;
  const std::string how = options.extend_schedule == ExtendSchedule::restart
                              ? "starts again over the added epochs, without warm-up"
                              : join("is now that of a run of ", counted(options.epochs, "epoch"));
  return join("extends ", folder, " from ", epochs, " to ", counted(options.epochs, "epoch"), ": the schedule ", how,
              "; the learning rate goes from ", run.schedule.at(step - 1), " to ", run.schedule.at(step));
}

StartPoint resume(const RunSetup& run, const RunFolder& folder, TrainLog& log) {
  const Checkpoint checkpoint(folder.checkpoint());
  const RunPosition& position = checkpoint.position();
  require_continues(position, folder, run.options);
  if (run.options.extend > 0) {
    require_finished(run, position, folder);
    log.say(extension_line(run, folder.path()));
  }
  checkpoint.restore(run.objective->state());
  if (const std::string device = run.backend.description(); !position.device.empty() && position.device != device)
    log.warn(join("warning: the run started on ", position.device, " and continues on ", device,
                  ": results may differ in the last bits"));
  if (position.threads != omp_get_max_threads())
    log.warn(join("warning: the run started with ", counted(position.threads, "thread"), " and continues with ",
                  omp_get_max_threads(), ": results may differ in the last bits"));
  if (position.ranks != run.sharing.ranks)
    log.warn(join("warning: the run started with ", counted(position.ranks, "rank"), " and continues with ",
                  run.sharing.ranks, ": results may differ in the last bits"));
  if (const std::string warning = other_data(position, run.data); !warning.empty()) log.warn(warning);
  log.say(join("resumed at step ", position.step));
  return {position.step, position.seconds};
}

}  // namespace

StartPoint start_point(const RunSetup& run, const RunFolder& folder, TrainLog& log) {
  if (folder.resuming()) return resume(run, folder, log);
  if (run.options.resume) {  // a run killed before its first checkpoint, or no run at all
    require_own_run(folder, run.options);
    log.say(join("no checkpoint in ", folder.path(), ": starts at step 0"));
  }
  return {};
}

void require_own_run(const RunFolder& folder, const Options& options) {
  if (folder.resuming()) {
    require_continues(Checkpoint(folder.checkpoint()).position(), folder, options);
    return;
  }
  require_usage(options.extend == 0, folder.path(),
                ": has no checkpoint.safetensors: only a finished run can be extended");
  if (RunFolder::has(folder.config()) && !folder.only_begun())
    require_resumable(options_from_toml(read_file(folder.config()), folder.config()), options, folder.config());
}

}  // namespace vergence
