// The choices that --tune makes in a run. A resumed run must repeat those made before its checkpoint.
#pragma once

#include <cstdint>
#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// With --tune, `device` times its convolutions from now on. After `step` steps of a run, it starts with the choices in
/// `file`.
void start_tuning(const Options& options, const std::string& file, std::int64_t step, Backend& device);

/// Writes the choices made so far.
void save_tuning(const Options& options, const std::string& file, const Backend& device);

}  // namespace vergence
