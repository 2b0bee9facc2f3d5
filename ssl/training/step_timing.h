// Predicts how long a run takes on this machine by timing its own step before training.
#pragma once

#include <string>
#include <vector>

#include "ssl/steps/plan.h"

namespace vergence {

struct StepTime {
  double seconds = 0;   // per step; 0 if none could be timed
  std::string why_not;  // why none could be timed
};

struct TimedStep {
  double seconds = 0;
  int kind = 0;  // Objective::step_kind
};

/// The time of the mean step: the median, or if only some steps do a part of the work (StepCost::occasional), the
/// median of those that do not, times the FLOPs of the mean step over theirs. `steps` must not be empty.
double mean_step_seconds(const std::vector<TimedStep>& steps, const StepCost& cost);

/// Times the step on images of the right shape, without waiting for data: a few after a warm-up. On the
/// CPU, where a large batch may take minutes, times two smaller batches and extrapolates. Never throws: see `why_not`.
/// `begun`: as in ObjectiveSetup.
StepTime time_step(const Options& options, const TrainingPlan& plan, Backend& device, bool begun = false);

/// "about 40 seconds", "about 25 minutes", "about 3.2 hours", "about 20 days (490 hours)".
std::string about_duration(double seconds);

/// The number of steps to do: the schedule's, up to --max-steps; with --extend only the added ones.
std::int64_t planned_steps(const Options& options, const TrainingPlan& plan);

/// The plan's lines about the run's duration; for a long run by the default recipe they name the short recipe, if one
/// is shipped.
std::string time_text(const Options& options, const TrainingPlan& plan, const StepTime& time);

}  // namespace vergence
