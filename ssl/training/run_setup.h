// What the options of a run stand for: all that its steps need, before the first one is made.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "datasets/loading/batch_source.h"
#include "engine/schedule.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"
#include "ssl/steps/plan.h"
#include "ssl/training/log.h"
#include "ssl/training/run_data.h"

namespace vergence {

struct RunSetup {
  /// Both must outlive this. Throws UsageError for options that do not go together or do not fit the images.
  RunSetup(const Options& options, RunData& data);

  const Options& options;
  RunData& data;
  Backend& backend;
  DType activations;  // of the encoder
  ViewSettings view;  // the first one of an image
  std::int64_t steps_per_epoch;
  Schedule schedule;
  std::unique_ptr<Objective> objective;
  Plan plan;
  std::int64_t last_step;  // steps of the run: of the schedule, or --max-steps
  std::string config;      // all options, as TOML

  /// The batches of a run that goes on after `step` steps.
  std::unique_ptr<BatchSource> batches(std::int64_t step) const;
  /// Un-augmented images as the encoder is judged on them.
  ExtractSettings judged_images() const;
};

/// The plan as lines for a reader, with all that is to be said of schedule and data.
std::string described(const RunSetup& run);

/// What a run says before its first step: what applies, its plan, where it runs and what computes it.
void announce(const RunSetup& run, const std::string& folder, TrainLog& log);

/// Throws UsageError for --tune with what it does not go with.
void require_tunable(const Options& options);

}  // namespace vergence
