// Extensions: `pretrain --extend` adds epochs to a finished run. The options of the extended run name the epochs after
// which that happened, so they describe the whole run: a new run with these options does the same steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/options/options.h"

namespace vergence {

struct Extension {
  std::int64_t after = 0;  // epochs
  ExtendSchedule schedule = ExtendSchedule::restart;
};

/// The extensions of the run, by epoch.
std::vector<Extension> extensions_of(const Options& options);

/// "restart after 10 epochs, stretched after 20 epochs"; empty without extensions.
std::string extensions_text(const Options& options);

/// Throws UsageError unless the epochs are whole, different and before the run's end.
void check_extensions(const Options& options);

/// Adds `options.extend` epochs by `options.extend_schedule`, and resumes.
void extend(Options& options);

/// The options of the run before its last extension; there must be one.
Options before_last_extension(const Options& options);

/// The options of the run before all of its extensions.
Options before_extensions(const Options& options);

}  // namespace vergence
