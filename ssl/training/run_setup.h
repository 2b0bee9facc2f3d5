// A run built from its options: everything that its steps need.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "datasets/loading/batch_source.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"
#include "ssl/steps/plan.h"
#include "ssl/steps/run_schedule.h"
#include "ssl/steps/world.h"
#include "ssl/training/log.h"
#include "ssl/training/run_data.h"

namespace vergence {

struct RunSetup {
  /// All must outlive this. `backend`: the options' device; training needs device_of(options). `restored`: a checkpoint
  /// will replace the weights, so those of --init are not read. `begun`: the run has begun, perhaps with an earlier
  /// version, so objectives accept what that did; restored ones have. Throws UsageError if options conflict or do not
  /// fit the images.
  RunSetup(const Options& options, RunData& data, Backend& backend, bool restored = false, Sharing sharing = {},
           bool begun = false);

  const Options& options;
  RunData& data;
  Backend& backend;
  Sharing sharing;    // of each batch
  DType activations;  // of the encoder
  ViewSettings view;  // an image's first view
  std::int64_t steps_per_epoch;
  RunSchedule schedule;
  std::string initial;  // what --init took from its file, in lines
  std::unique_ptr<Objective> objective;
  std::string notice;  // the objective's, before a run begins; empty, or a line
  TrainingPlan plan;
  std::int64_t last_step;  // the run's number of steps: the schedule's, or --max-steps
  std::string config;      // all options, as TOML

  /// The batches after the first `step` steps.
  std::unique_ptr<BatchSource> batches(std::int64_t step) const;
  /// How un-augmented images are prepared for the encoder's evaluation.
  ExtractSettings judged_images() const;
};

/// The plan in readable lines, with remarks about schedule and data.
std::string described(const RunSetup& run);

/// Logs the run's settings, plan, folder and device before the first step.
void announce(const RunSetup& run, const std::string& folder, TrainLog& log);

}  // namespace vergence
