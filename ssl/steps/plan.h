// Computes the cost of a run before training: `pretrain --plan`.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/dataset.h"
#include "datasets/loading/batch_source.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"
#include "ssl/steps/figures.h"
#include "ssl/steps/world.h"

namespace vergence {

struct TrainingPlan {
  StepCost step;  // of all ranks together, but bytes of one
  int ranks = 1;
  std::int64_t images = 0, steps_per_epoch = 0, steps = 0;  // steps: of the whole schedule
  std::int64_t image_size = 0, channels = 0;                // of a view
  SourceCost source;                                        // of making the batches
  std::int64_t bytes = 0;                                   // of source and step, on each rank's device
  std::int64_t host_bytes = 0;  // of images and batches that the host holds beside a device with its own memory
  double effective_lr = 0;
  FigurePlan figures;

  /// FLOPs of all steps.
  double flops() const { return step.flops * static_cast<double>(steps); }
  /// Device memory in bytes to keep free when images are placed there: the estimate for a step plus a quarter, and 2
  /// GiB for libraries.
  std::int64_t reserve() const { return step.bytes + step.bytes / 4 + (std::int64_t{2} << 30); }
};

/// Throws UsageError if the batch is larger than the data set, or not a multiple of the ranks.
TrainingPlan make_plan(const Options& options, const Dataset& dataset, const Objective& objective, Backend& backend,
                       const Sharing& sharing = {});

/// "0.21 PFLOP", "2.10 TFLOP".
std::string flops_text(double flops);

/// The plan in readable lines.
std::string plan_text(const Options& options, const TrainingPlan& plan);

}  // namespace vergence
