// `bench suite`: runs steps of several settings in one process, which loads its libraries and plans its convolutions
// once.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/bench/step.h"

namespace vergence {

/// The names of the settings, in the order in which they run:
/// simclr         recorded where the device can
/// eager          the same, but launches each kernel every time
/// own_kernels    the same, without the library's convolutions
/// quarter_batch  the same, with a quarter of the images
/// barlow_twins
const std::vector<std::string>& suite_names();

/// Applies the named setting to `common`. Throws UsageError for an unknown name and for a batch that is too small.
BenchSettings suite_settings(const std::string& name, BenchSettings common);

/// Returns one object: `setting`, then the fields of bench_report, or `error` with the reason why there are none. On a
/// GPU, peak_mib includes what earlier settings left in the pool; on the CPU it is the process's peak up to then.
nlohmann::ordered_json bench_suite(const std::string& name, const BenchSettings& common);

}  // namespace vergence
