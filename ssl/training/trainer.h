// Trains one objective from start to end: steps, metrics, saves, signals. ssl/training/stages.h does a whole run.
//
// metrics.jsonl: one object per logged step: step (steps done, from 1), epoch (from 1), loss, the loss's parts by name,
// lr, gradient_norm (of encoder and heads); at the end of some epochs std and rankme, knn_cosine_200 and
// knn_euclidean_5 (percent). All that depends on the clock is under "clock" (ssl/training/time_shares.h), so that two
// runs compare by the rest.
#pragma once

#include <cstdint>

#include "ssl/options/options.h"
#include "ssl/steps/world.h"
#include "ssl/training/run_data.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_notes.h"

namespace vergence {

struct TrainingResult {
  int exit_status = 0;          // 0, or 130 or 143 after a signal
  std::int64_t steps = 0;       // of the whole run
  std::int64_t started_at = 0;  // the step it resumed from
  double loss = 0;              // of the last step; NaN if there was none
  double data_wait = 0;         // share of the steps' time spent waiting for data
};

inline constexpr double seconds_between_checkpoints = 60;

/// Trains as the options say; logs to stdout and train.log. Throws UsageError for bad options or data or a folder whose
/// run cannot continue, Error if the loss is not finite (the last checkpoint is kept).
///
/// All ranks of `world` call this together and do the same steps. The leader logs and saves; the others only read the
/// folder (RunFolder::Follow) and have silent notes, and a signal to any rank stops all after the same step.
///
/// After a step that ends more than `checkpoint_seconds` after the last checkpoint there is another.
TrainingResult train_run(const Options& options, RunData& data, RunFolder& folder, RunNotes& notes, World& world,
                         double checkpoint_seconds = seconds_between_checkpoints);

}  // namespace vergence
