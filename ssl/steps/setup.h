// From options to what makes steps: the loader's settings, the encoder's types, the objective, the choice of kernels.
#pragma once

#include <cstdint>
#include <memory>

#include "datasets/loading/loader.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"

namespace vergence {

/// The loader's settings of a run that starts, or goes on, after `step` steps.
LoaderSettings loader_settings(const Options& options, const Dataset& dataset, const Objective& objective,
                               std::int64_t step);

/// The type of the encoder's activations. Throws UsageError for a precision that `backend` has not.
DType activations_of(const Options& options, const Backend& backend);

/// An objective with the encoder, precision and seed of the options, for views of `image_size`.
std::unique_ptr<Objective> make_objective(const Options& options, std::int64_t image_size, Backend& backend,
                                          std::int64_t channels = 3);

/// Makes `--cpu-conv`, `--conv`, `--weight-gradients`, `--precision` and `--deterministic` the choices of this
/// process. Throws UsageError for names there are not and for what does not go together.
void apply_kernel_choices(const Options& options);

}  // namespace vergence
