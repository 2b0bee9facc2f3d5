#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/error.h"

namespace vergence {

Schedule::Schedule(const ScheduleSettings& settings) : settings_(settings) {
  ScheduleSettings& s = settings_;
  for (double rate : {s.base, s.start, s.minimum, s.factor})
    require_usage(std::isfinite(rate) && rate >= 0, "schedule: rates must be finite and not negative, got ", rate);
  require_usage(s.epochs >= 1 && s.steps_per_epoch >= 1, "schedule: expected at least one epoch of one step, got ",
                s.epochs, " of ", s.steps_per_epoch);
  require_usage(std::isfinite(s.warmup_epochs) && s.warmup_epochs >= 0,
                "schedule: the warm-up must be finite and not negative, got ", s.warmup_epochs, " epochs");
  require_usage(std::is_sorted(s.milestones.begin(), s.milestones.end()), "schedule: milestones must increase");
  const double run = static_cast<double>(s.epochs);
  if (s.warmup_epochs > 0 && s.warmup_epochs >= run) {
    notice_ = join("warm-up of ", s.warmup_epochs, " epochs is not shorter than the run of ", s.epochs, ": cut to ",
                   run / 10, " epochs; --warmup-epochs chooses another");
    s.warmup_epochs = run / 10;
  }
}

double Schedule::at(std::int64_t step) const {
  const ScheduleSettings& s = settings_;
  const std::int64_t inside = std::clamp<std::int64_t>(step, 0, steps() - 1);
  const double now = static_cast<double>(inside) / static_cast<double>(s.steps_per_epoch);
  if (now < s.warmup_epochs) return s.start + (s.base - s.start) * now / s.warmup_epochs;
  const double done = (now - s.warmup_epochs) / (static_cast<double>(s.epochs) - s.warmup_epochs);
  switch (s.kind) {
    case ScheduleKind::cosine:
      return s.minimum + (s.base - s.minimum) * 0.5 * (1 + std::cos(std::numbers::pi * done));
    case ScheduleKind::step: {
      const auto passed = std::upper_bound(s.milestones.begin(), s.milestones.end(), now) - s.milestones.begin();
      return s.base * std::pow(s.factor, static_cast<double>(passed));
    }
    case ScheduleKind::constant:
      return s.base;
    case ScheduleKind::exponential:
      return s.base == 0 ? 0 : s.base * std::pow(s.minimum / s.base, done);
  }
  return s.base;
}

}  // namespace vergence
