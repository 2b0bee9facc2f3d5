// Training of one objective from start to end: data, steps, metrics, checkpoints, signals. What a whole run is made of:
// ssl/training/stages.h.
//
// metrics.jsonl: one object per logged step: step (steps done, from 1), epoch (from 1), loss, the loss's parts by name,
// lr, images_per_s; at the end of an epoch with an evaluation also knn_cosine_200 and knn_euclidean_5 (per cent).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "ssl/objective.h"
#include "ssl/options/options.h"
#include "ssl/steps/plan.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_notes.h"

namespace vergence {

struct TrainingResult {
  int exit_status = 0;          // 0, or 130 or 143 after a signal
  std::int64_t steps = 0;       // done in the whole run
  std::int64_t started_at = 0;  // the step that was resumed from
  double loss = 0;              // of the last step; NaN if none was made
  double data_wait = 0;         // share of the time of all steps that was spent waiting for data
};

/// Trains as the options say; says what it does on stdout and in train.log. `folder`: their run folder, where it is
/// open already. `notes`: where it writes of itself; its own in the run folder where none are given. `dataset`: their
/// training images, where they are open already. Throws UsageError for bad options or data and for a run folder that
/// cannot be used, Error when the loss is not finite (the last checkpoint is kept).
TrainingResult train_run(const Options& options, std::unique_ptr<RunFolder> folder = nullptr, RunNotes* notes = nullptr,
                         std::optional<Dataset> dataset = {});

struct PlannedRun {
  Plan plan;
  std::string text;  // the plan as lines for a reader
};
/// What `train_run` would do. Throws UsageError for bad options or data.
PlannedRun plan_run(const Options& options);

/// Throws UsageError for options that `train_run` refuses once its run folder is open, but before anything is written.
void require_trainable(const Options& options);

/// Throws UsageError if what lies in the folder, a checkpoint or config.toml alone, is of a run that cannot go on with
/// these options.
void require_own_run(const RunFolder& folder, const Options& options);

/// XXH128 of the configuration, without what a resumed run may change.
std::string config_digest(const Options& options);

}  // namespace vergence
