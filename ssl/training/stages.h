// A whole run of `pretrain`, usually the training of one objective (ssl/training/trainer.h). If the objective needs an
// encoder from another run (ObjectiveEntry::first_run), that run is stage 1, in the folder stage1 of the run folder.
//
// The run folder is opened and locked first, and gets its config.toml before stage 1. A finished stage is not repeated;
// a checkpoint in the run folder itself means that stage 1 is finished. Both stages share the images.
#pragma once

#include <string>

#include "ssl/training/trainer.h"

namespace vergence {

/// Trains as the options say and logs to stdout and train.log. A signal in stage 1 ends the run with that stage's
/// result. Throws like `train_run`, also for an unusable run folder; errors of stage 2 are found before stage 1.
/// All ranks of `world` call it together, with the same options.
TrainingResult pretrain(const Options& options, World& world);
/// The same for one rank.
TrainingResult pretrain(const Options& options);

/// The text that `--plan` prints, for so many ranks.
std::string describe_plan(const Options& options, int ranks = 1);

}  // namespace vergence
