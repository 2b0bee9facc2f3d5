// Multinomial logistic regression by L-BFGS: the probe that has no learning rate.
#pragma once

#include <vector>

#include "ssl/evaluation/probes/probe.h"

namespace vergence {

/// Computes the mean loss over `features` plus lambda/2 |W|^2 (no penalty on biases), and its gradient, both in f64.
/// `point` and `gradient` (resized): weights [classes, dim], then biases [classes].
double logistic_loss(const Features& features, double lambda, const std::vector<double>& point,
                     std::vector<double>& gradient);

/// Trains to convergence, or for `settings.epochs` iterations (the classifier's `convergence` says which), with
/// settings.weight_decay as lambda. Standardizes features by their own mean and deviation; the returned classifier
/// takes raw features. Starts from zero; the problem is convex, so the seed has no effect. Throws UsageError in a build
/// without liblbfgs.
LinearClassifier train_logistic(const Features& train, const ProbeSettings& settings, const ProbeProgress& progress);

}  // namespace vergence
