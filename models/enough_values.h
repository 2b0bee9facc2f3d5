// Whether a file can hold a network's weights, asked before the network is made.
#pragma once

#include <cstdint>
#include <string>

#include "models/encoder.h"

namespace vergence {

/// Throws UsageError, which begins with `path`, if the network has far more parameters than the file at `path` has
/// values: making it could take all memory. A file that lacks a few tensors passes, so that reading names them.
void require_enough_values(const EncoderSettings& settings, std::int64_t values, const std::string& path);

}  // namespace vergence
