// The weights that an encoder starts from: those of --init.
#pragma once

#include <optional>
#include <string>

#include "models/encoder_file.h"
#include "ssl/objective.h"

namespace vergence {

struct InitialWeights {
  TrainedEncoder trained;
  std::string report;  // what was taken from the file, left out and missing, and notices: lines
};

/// Reads the file of --init into the setup's network. None without --init. Notices say where the file describes another
/// network, or other normalization than `view` (the run's first view) has. Throws UsageError like EncoderWeights.
std::optional<InitialWeights> initial_weights(const ObjectiveSetup& setup, const ViewSettings& view);

}  // namespace vergence
