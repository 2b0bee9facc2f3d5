// Training of one objective from start to end: steps, metrics, saves, signals. What a whole run is made of:
// ssl/training/stages.h.
//
// metrics.jsonl: one object per logged step: step (steps done, from 1), epoch (from 1), loss, the loss's parts by name,
// lr, images_per_s; at the end of an epoch with an evaluation also knn_cosine_200 and knn_euclidean_5 (per cent).
#pragma once

#include <cstdint>

#include "ssl/options/options.h"
#include "ssl/training/run_data.h"
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

/// Trains as the options say; says what it does on stdout and in train.log. Throws UsageError for bad options or data
/// and for what lies in the folder and cannot go on, Error when the loss is not finite (the last checkpoint is kept).
TrainingResult train_run(const Options& options, RunData& data, RunFolder& folder, RunNotes& notes);

}  // namespace vergence
