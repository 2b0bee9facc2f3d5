// Multinomial logistic regression by L-BFGS: the probe without a learning rate.
#pragma once

#include <vector>

#include "ssl/evaluation/probes/probe.h"

namespace vergence {

/// The mean loss over `features` plus lambda/2 |W|^2 (biases free), and its gradient, both in f64.
/// `point` and `gradient` (resized): weights [classes, dim], then biases [classes].
double logistic_loss(const Features& features, double lambda, const std::vector<double>& point,
                     std::vector<double>& gradient);

/// Fits to convergence, or for `settings.epochs` iterations, with settings.weight_decay as lambda. Features are
/// standardized by their own mean and standard deviation first; the classifier returned takes them as they are.
/// Starts from zero: the objective is convex, so the seed has no say. Throws UsageError in a build without liblbfgs.
LinearClassifier train_logistic(const Features& train, const ProbeSettings& settings, const ProbeProgress& progress);

}  // namespace vergence
