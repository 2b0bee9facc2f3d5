// From options to what makes steps: batch and schedule, the loader's settings, the encoder's types, the objective, the
// choice of kernels.
#pragma once

#include <cstdint>

#include "datasets/dataset.h"
#include "datasets/loading/batch.h"
#include "engine/schedule.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"

namespace vergence {

/// Where nobody chose the batch (Options::batch_chosen): at most half of the images, at least 2; a line of `applied`
/// says so. Every run settles this first: the batch is part of what it saves and compares.
void settle_batch(Options& options, const Dataset& dataset);

/// Steps in one epoch: the last partial batch is dropped. Throws UsageError if the batch is larger than the data set.
std::int64_t steps_per_epoch(const Options& options, const Dataset& dataset);

/// The options' learning rate over the run, in steps.
Schedule make_schedule(const Options& options, std::int64_t steps_per_epoch);

/// The threads that make views: --workers, or, where that is 0, by the processors that this process may use: half of
/// them where steps are `computed_here`, on the same ones, else all but one, which drives the device; 1 to 16.
int loader_workers(const Options& options, bool computed_here);

/// The loader's settings of a run that starts, or goes on, after `step` steps.
LoaderSettings loader_settings(const Options& options, const Dataset& dataset, const Objective& objective,
                               std::int64_t step);

/// The type of the encoder's activations. Throws UsageError for a precision that `backend` has not.
DType activations_of(const Options& options, const Backend& backend);

/// What an objective with the encoder, precision and seed of the options is made from, for views of `image_size`. The
/// options must outlive it.
ObjectiveSetup objective_setup(const Options& options, std::int64_t image_size, Backend& backend,
                               std::int64_t channels = 3);

/// What `--cpu-conv`, `--conv`, `--weight-gradients`, `--precision` and `--deterministic` ask of a device. Throws
/// UsageError for what does not go together.
KernelChoices kernel_choices(const Options& options);

/// The device that the options name, with their choices of kernels set before anything is made there.
Backend& device_of(const Options& options);

}  // namespace vergence
