// Stage 1 of DSA: if its prior is `stage1` and no file is given, the base method is trained first.
#pragma once

#include <optional>
#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// Returns the options of the base method's run that trains the prior: the base as objective, DSA's own options at
/// their defaults, and the epochs of stage 1. Returns nothing if there is a file or no such network is needed. Throws
/// UsageError for DSA switches that contradict each other.
std::optional<Options> dsa_stage1(const Options& options);

/// Makes `file` the prior's encoder; empty: stage 1 must still train it.
void take_stage1_encoder(Options& options, const std::string& file);

}  // namespace vergence
