// DSA from nothing: where its prior is `stage1` and no file is given, the base is trained first.
#pragma once

#include <optional>
#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// The base's run that trains the prior: the options with the base as objective, DSA's own at their defaults, and the
/// epochs of stage 1. Nothing where there is a file or no such network is needed. Throws UsageError for switches of DSA
/// that contradict each other.
std::optional<Options> dsa_stage1(const Options& options);

/// Makes `file` the prior's encoder; empty: it is still to be trained.
void take_stage1_encoder(Options& options, const std::string& file);

}  // namespace vergence
