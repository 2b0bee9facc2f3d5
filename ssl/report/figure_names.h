// What the figures of metrics.jsonl are called beside those of other runs.
#pragma once

#include <string>

#include "ssl/report/run_files.h"

namespace vergence {

/// What kNN of this series was measured on in a run with these options: " (all images)" or " (500 images)" if the user
/// chose it, " (200 images against 1000)" if --limit leaves fewer images than planned figures usually have. Empty for
/// planned figures and for any other figure.
std::string judged_text(const Series& series, const Options& options);

}  // namespace vergence
