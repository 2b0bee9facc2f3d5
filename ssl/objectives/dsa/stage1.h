// Stage 1 of DSA: trains the base method first if the prior is `stage1` and no file is given.
#pragma once

#include <optional>
#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// Returns the options of the prior's run: the base as objective, DSA's own at their defaults, stage 1's epochs. None
/// if there is a file or no such network is needed. Throws UsageError for contradictory DSA options.
std::optional<Options> dsa_stage1(const Options& options);

/// Makes `file` the prior's encoder; empty: stage 1 must still train it.
void take_stage1_encoder(Options& options, const std::string& file);

}  // namespace vergence
