// Whole pretraining runs, small enough for a test.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/training/stages.h"
#include "tests/support/temporary_folder.h"

namespace vergence {

/// Three epochs of four steps; six images are dropped in every epoch.
inline Options small_run(Options options, const std::string& out = "") {
  options.dataset = "confounded_shapes";
  options.image_size = 16;
  options.limit = 70;
  options.batch = 16;
  options.epochs = 3;
  options.lr = 0.5;
  options.workers = 2;
  options.figures = false;  // they would take longer than the run
  options.out = out;
  return options;
}

/// The lines of a run's metrics.jsonl, without fields that depend on the clock.
std::vector<nlohmann::json> metrics_of(const TemporaryFolder& folder, const std::string& run);

/// Trains `steps` steps at once, then again in parts that stop after the steps in `stops` (0: at the end), with one or
/// two workers. Expects the same files, bit for bit, and the same metrics.
void expect_resumed_equals_whole(const TemporaryFolder& folder, const std::string& whole, Options options,
                                 std::int64_t steps, const std::vector<std::int64_t>& stops,
                                 const std::vector<std::string>& files = {"encoder.safetensors"});

}  // namespace vergence
