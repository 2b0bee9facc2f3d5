// How long a run will take on this machine: its very step, tried out before anything is trained.
#pragma once

#include <string>

#include "ssl/steps/plan.h"

namespace vergence {

struct StepTime {
  double seconds = 0;   // of one step; 0 where none could be timed
  std::string why_not;  // then
};

/// Tries the step that the options ask for on images of the right shape: after a warm-up, the median of a few. On the
/// CPU, where a step of a large batch may take minutes, smaller ones of two sizes are timed, and the step's time
/// follows from them. Waiting for images is not in it. Throws nothing: what cannot be tried has its reason in
/// `why_not`.
StepTime time_step(const Options& options, const Plan& plan, Backend& device);

/// "about 40 seconds", "about 25 minutes", "about 3.2 hours", "about 20 days (490 hours)".
std::string about_duration(double seconds);

/// Steps that the run will make: those of its schedule, or of --max-steps.
std::int64_t planned_steps(const Options& options, const Plan& plan);

/// The lines of a plan that say how long the run takes; a long run of a recipe that nobody chose names the short one,
/// where one is shipped.
std::string time_text(const Options& options, const Plan& plan, const StepTime& time);

}  // namespace vergence
