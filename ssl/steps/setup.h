// Turns options into the parts of a run: batch, the loader's settings, the encoder's types, the objective, the kernel
// choices. The schedule is in ssl/steps/run_schedule.h.
#pragma once

#include <cstdint>

#include "datasets/dataset.h"
#include "datasets/loading/batch.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"
#include "ssl/steps/world.h"

namespace vergence {

/// Limits a batch that the user did not choose (Options::batch_chosen) to half of the images, at least 2, and notes
/// that in `applied`. Every run calls this first, since the batch is saved and compared.
void settle_batch(Options& options, const Dataset& dataset);

/// Steps in one epoch: the last partial batch is dropped. Throws UsageError if the batch is larger than the data set.
std::int64_t steps_per_epoch(const Options& options, const Dataset& dataset);

/// Returns the number of threads that make views: --workers, or if that is 0, half of `processors` (0: all that this
/// process may use) if steps are `computed_here` (on the same processors), else all but one, which drives the device. 1
/// to 16.
int loader_workers(const Options& options, bool computed_here, int processors = 0);

/// The loader's settings for a run that starts or continues after `step` steps.
LoaderSettings loader_settings(const Options& options, const Dataset& dataset, const Objective& objective,
                               std::int64_t step, const Sharing& sharing = {});

/// The type of the encoder's activations. Throws UsageError if `backend` lacks the precision.
DType activations_of(const Options& options, const Backend& backend);

/// The setup of an objective with the options' encoder, precision and seed, for views of `image_size`. The options must
/// outlive it.
ObjectiveSetup objective_setup(const Options& options, std::int64_t image_size, Backend& backend,
                               std::int64_t channels = 3, const Ranks& ranks = {});

/// Throws UsageError if another option conflicts with --tune.
void require_tunable(const Options& options);

/// Returns the kernel choices by `--cpu-conv`, `--conv`, `--weight-gradients`, `--precision` and `--deterministic`.
/// Throws UsageError if they conflict.
KernelChoices kernel_choices(const Options& options);

/// The options' device, with its kernel choices set before anything is created there.
Backend& device_of(const Options& options);
/// The same on all ranks of `world`, which call it together.
Backend& device_of(const Options& options, World& world);

}  // namespace vergence
