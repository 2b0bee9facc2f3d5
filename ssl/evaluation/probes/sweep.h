// The settings that `linear_probe --sweep` tries: learning rates, or of L-BFGS the penalty.
#pragma once

#include <string>
#include <vector>

#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/sampling/sweep.h"

namespace vergence {

/// Returns what is tried, ascending: "lr" as --lr takes it, or "weight_decay" of lbfgs.
std::vector<Trial> probe_trials(const ProbeSettings& settings);

/// Returns the settings with those of a trial.
ProbeSettings with_trial(ProbeSettings settings, const Trial& trial);

/// Trains every trial on nine tenths of the images and judges it on the held-out tenth. `plain`: un-augmented features.
/// `views`: for sgd on new views, features of the same images in each epoch; else empty.
Sweep sweep_probe(const Features& plain, const FeatureSource& views, const ProbeSettings& settings, Backend& backend,
                  const TrialShown& show);

}  // namespace vergence
