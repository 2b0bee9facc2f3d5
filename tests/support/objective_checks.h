// What must hold for every objective, or for several.
#pragma once

#include <cmath>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "tests/support/small_objectives.h"

namespace vergence {

/// Compares the parameters' change in a step of plain gradient descent, in f64, with central differences of the step's
/// loss along a random direction, and its length with the gradient norm that is logged.
inline void expect_step_follows_gradient(Options options, const Views& views, StepContext context,
                                         const std::string& what) {
  options.momentum = options.weight_decay = 0;
  const auto objective = small_objective(options, DType::f64, views.both.shape[1]);
  const ParameterSet parameters = set_of(*objective, "model");
  const std::vector<double> before = parameters.flat().values();
  const double lr = 1e-3;
  context.lr = lr;
  objective->step(views, context);
  std::vector<double> gradient = parameters.flat().values(), direction(before.size());
  Random random(5, Purpose::test);
  double along = 0, squares = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    gradient[i] = (before[i] - gradient[i]) / lr;
    direction[i] = gradient[i] != 0 ? random.uniform(-1, 1) : 0;
    along += gradient[i] * direction[i];
    squares += gradient[i] * gradient[i];
  }
  EXPECT_NEAR(objective->gradient_norm().item(), std::sqrt(squares), 1e-9 * (1 + std::sqrt(squares))) << what;
  context.lr = 0;
  const auto loss_at = [&](double step) {
    std::vector<double> moved = before;
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += step * direction[i];
    assign(parameters.flat(), from_values(cpu_backend(), parameters.flat().shape, moved));
    return objective->step(views, context).loss.item();
  };
  // A ReLU that turns on or off between the two points spoils their difference; a smaller step avoids that.
  const double tolerance = 1e-4 * (1 + std::abs(along));
  double slope = NAN;
  for (const double step : {1e-7, 1e-8, 1e-9}) {
    slope = (loss_at(step) - loss_at(-step)) / (2 * step);
    if (std::abs(slope - along) <= tolerance) break;
  }
  EXPECT_NEAR(slope, along, tolerance) << what;
}

/// Expects that one step sets the parameters of the set `average` to `momentum` times themselves plus (1 - momentum)
/// times the trained ones.
inline void expect_moving_average(Objective& objective, const std::string& average, double momentum, const Views& views,
                                  const StepContext& context, double tolerance) {
  const ParameterSet trained = set_of(objective, "model"), target = set_of(objective, average);
  const std::vector<double> before = target.flat().values();
  objective.step(views, context);
  const std::vector<double> after = target.flat().values(), moved = trained.flat().values();
  double change = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_NEAR(after[i], momentum * before[i] + (1 - momentum) * moved[i], tolerance);
    change += std::abs(after[i] - before[i]);
  }
  EXPECT_GT(change, 0.01);
}

}  // namespace vergence
