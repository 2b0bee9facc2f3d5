// Where a run begins or goes on.
#pragma once

#include <cstdint>

#include "ssl/training/log.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_setup.h"

namespace vergence {

struct StartPoint {
  std::int64_t step = 0;  // steps done
  double seconds = 0;     // that they took
};

/// With a checkpoint to resume from, restores the objective from it; else the run begins, with --resume only where the
/// folder's config.toml agrees. Says which, and warns of other threads and images than the run began with. Throws
/// UsageError for a checkpoint, or config.toml, of a run that cannot go on with these options.
StartPoint start_point(const RunSetup& run, const RunFolder& folder, TrainLog& log);

/// Throws UsageError if what lies in the folder, a checkpoint or config.toml alone, is of a run that cannot go on with
/// these options.
void require_own_run(const RunFolder& folder, const Options& options);

}  // namespace vergence
