// The step at which a run starts or continues.
#pragma once

#include <cstdint>

#include "ssl/training/log.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_setup.h"

namespace vergence {

struct StartPoint {
  std::int64_t step = 0;  // steps done
  double seconds = 0;     // that those steps took
};

/// Restores the objective from the checkpoint to resume from; without one the run starts, with --resume only if
/// config.toml agrees. Warns of other threads or images. Throws UsageError if the folder's run cannot continue.
StartPoint start_point(const RunSetup& run, const RunFolder& folder, TrainLog& log);

/// Throws UsageError if the folder's checkpoint, or else its config.toml, belongs to a run that cannot continue with
/// these options.
void require_own_run(const RunFolder& folder, const Options& options);

}  // namespace vergence
