// What TensorBoard's tab HParams reads: the options of a run, and how it ended. The tab makes its columns from the
// options and the scalars of all runs. (A list of columns in the events of one run would hide what only others have.)
#pragma once

#include <string>

#include "ssl/options/options.h"
#include "ssl/training/tensorboard/events.h"

namespace vergence {

/// The saved options, but of objectives only those of the chosen one and of its base method.
void add_session_start(Summary& summary, const Options& options, double time);

/// Marks the run as finished.
void add_session_end(Summary& summary, double time);

}  // namespace vergence
