// The schedule of a run: one Schedule, or after extensions (ssl/options/extension.h) one after the other.
//   first part:  the options' schedule over the epochs before any extension
//   restart:     the same over the added epochs alone, without warm-up; step counts from the extension
//   stretched:   the same over all epochs so far, the added ones included; step counts from the run's start
// The epochs of --step-epochs grow and shrink with a schedule's length; the warm-up keeps its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/schedule.h"
#include "ssl/options/options.h"

namespace vergence {

class RunSchedule {
 public:
  /// Throws UsageError for settings out of range.
  RunSchedule(const Options& options, std::int64_t steps_per_epoch);

  /// The learning rate of step `step`, counted from 0 over the whole run.
  double at(std::int64_t step) const;
  /// The schedule that applies to a step: its own first step, and its length in steps. Other quantities that follow the
  /// run's length, such as a momentum, take their place in it.
  struct Span {
    std::int64_t first = 0, steps = 1;
  };
  Span span(std::int64_t step) const;
  /// Of the whole run.
  std::int64_t steps() const { return steps_; }
  /// Lines for the user, or an empty string. After extensions they are about the last part alone.
  const std::string& notice() const { return notice_; }

 private:
  struct Part {
    std::int64_t from = 0, first = 0;  // the first step that it applies to, and the step where it would begin
    Schedule schedule;
  };
  const Part& part(std::int64_t step) const;

  std::int64_t steps_;
  std::vector<Part> parts_;
  std::string notice_;
};

}  // namespace vergence
