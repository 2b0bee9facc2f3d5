// A whole run of `pretrain`. Mostly that is the training of one objective (ssl/training/trainer.h). Where the objective
// needs an encoder that another run must train first (ObjectiveEntry::first_run), it has two stages: that run, in the
// folder stage1 inside the run folder, and the objective's own.
//
// The run folder is opened and locked before anything else, and gets its config.toml before stage 1. A stage that is
// over is not repeated; with a checkpoint in the run folder itself, stage 1 is over. Both stages train on the same
// images, which are opened once.
#pragma once

#include <string>

#include "ssl/training/trainer.h"

namespace vergence {

/// Trains as the options say, after comparing the data set's files with their published sums where they ask for that;
/// says what it does on stdout and in train.log. Throws as `train_run`, and UsageError for a run folder that cannot be
/// used; what stage 2 would refuse is refused before stage 1. A signal in stage 1 ends the run, and the result is that
/// stage's.
TrainingResult pretrain(const Options& options);

/// What `--plan` prints.
std::string describe_plan(const Options& options);

}  // namespace vergence
