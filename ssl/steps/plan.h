// What a run will cost, worked out before anything is trained: `pretrain --plan`.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/dataset.h"
#include "engine/schedule.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"

namespace vergence {

struct Plan {
  StepCost step;
  std::int64_t images = 0, steps_per_epoch = 0, steps = 0;  // steps: of the whole schedule
  std::int64_t image_size = 0, channels = 0;                // of a view
  std::int64_t data_bytes = 0, loader_bytes = 0;            // images in memory, batches that are made ahead
  std::int64_t bytes = 0;                                   // these, the step's, and a batch on the device
  double effective_lr = 0;
  bool on_device = false;  // the images lie in the device's memory, which makes the views

  /// Bytes of the device that the images leave to the steps: what these are estimated to need, with room for what a
  /// library asks for.
  std::int64_t reserve() const { return step.bytes + step.bytes / 4 + (std::int64_t{2} << 30); }
};

/// Where nobody chose the batch (Options::batch_chosen): at most half of the images, at least 2; a line of `applied`
/// says so. Every run settles this first: the batch is part of what it saves and compares.
void settle_batch(Options& options, const Dataset& dataset);

/// Throws UsageError if the batch is larger than the data set.
Plan make_plan(const Options& options, const Dataset& dataset, const Objective& objective, const Backend& backend);

/// The plan as lines for a reader.
std::string plan_text(const Options& options, const Plan& plan);

/// Steps in one epoch: the last partial batch is dropped. Throws UsageError if the batch is larger than the data set.
std::int64_t steps_per_epoch(const Options& options, const Dataset& dataset);

/// The options' learning rate over the run, in steps.
Schedule make_schedule(const Options& options, std::int64_t steps_per_epoch);

}  // namespace vergence
