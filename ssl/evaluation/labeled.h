// What the tools that learn from labels share: opening labeled images, extracting features, lines of progress.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

/// Prints each line on standard output, after `begin`.
void print_lines(const std::vector<std::string>& lines, const char* begin = "");

/// Opens a split that must have labels and prints its notices. `reader` needs them: "a linear probe".
Dataset open_labeled(const DatasetSettings& settings, const std::string& split, const char* reader);

/// Returns the features of un-augmented images; prints which images were skipped.
Features shown_features(const Subject& subject, const Encode& encode, const Dataset& data);

/// Prints "<unit> 3/100  loss 1.2345" at most every five seconds, and keeps the loss in `last_loss`.
ProbeProgress progress_lines(const char* unit, std::int64_t total, double& last_loss);

}  // namespace vergence
