// `bench suite`: steps of several settings in one process, which finds its libraries and plans its convolutions once.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/bench/step.h"

namespace vergence {

/// The settings there are, in the order in which they run:
/// simclr         recorded where the device can
/// eager          the same, each step launched anew
/// own_kernels    the same, without the library's convolutions
/// quarter_batch  the same, of a quarter of the images
/// barlow_twins
const std::vector<std::string>& suite_names();

/// What the setting of that name makes of `common`. Throws UsageError where there is none, or where a batch is too
/// small.
BenchSettings suite_settings(const std::string& name, BenchSettings common);

/// One object: `setting`, then what bench_report says of its steps, or `error`, why there are none. On a GPU peak_mib
/// includes what earlier settings left to the pool.
nlohmann::ordered_json bench_suite(const std::string& name, const BenchSettings& common);

}  // namespace vergence
