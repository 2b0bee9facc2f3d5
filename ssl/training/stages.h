// A whole run of `pretrain`, usually the training of one objective (ssl/training/trainer.h). If the objective needs an
// encoder from another run (ObjectiveEntry::first_run), that run is stage 1, in the folder stage1 of the run folder.
//
// The run folder is opened and locked before anything else, and gets its config.toml before stage 1. A finished stage
// is not repeated; a checkpoint in the run folder itself means that stage 1 is finished. Both stages share the images.
#pragma once

#include <string>

#include "ssl/training/trainer.h"

namespace vergence {

/// Trains as the options say (with --verify, first compares the data set's files with their published sums) and logs to
/// stdout and train.log. Throws like `train_run`, and UsageError if the run folder cannot be used; stage 2's refusals
/// come before stage 1. A signal in stage 1 ends the run with that stage's result.
TrainingResult pretrain(const Options& options);

/// The text that `--plan` prints.
std::string describe_plan(const Options& options);

}  // namespace vergence
