// The learning rate as a pure function of the step, so that a resumed run needs no state for it. With
// now = step / steps_per_epoch, in epochs, and w = warmup_epochs:
//   now < w:   start + (base - start) now / w
//   cosine:    minimum + (base - minimum) (1 + cos(pi (now - w) / (epochs - w))) / 2
//   step:      base factor^(number of milestones <= now)
//   constant:  base
//   exponential:  base (minimum / base)^((now - w) / (epochs - w))
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

enum class ScheduleKind { cosine, step, constant, exponential };

struct ScheduleSettings {
  ScheduleKind kind = ScheduleKind::cosine;
  double base = 0;  // the rate after warm-up (already scaled by batch / 256)
  std::int64_t epochs = 1, steps_per_epoch = 1;
  double warmup_epochs = 0;          // linear from `start` to `base`
  double start = 0;                  // the rate at step 0 of a warm-up
  double minimum = 0;                // the value that cosine and exponential approach
  std::vector<double> milestones{};  // step: epochs (increasing) after each of which the rate is multiplied by `factor`
  double factor = 0.1;
};

/// The learning rates of one run, by the formulas above.
class Schedule {
 public:
  /// Cuts a warm-up that is not shorter than the run to a tenth of the run; `notice` then says so. Throws UsageError
  /// for settings out of range.
  explicit Schedule(const ScheduleSettings& settings);

  /// The rate of optimizer step `step`, counted from 0 over the whole run. Steps past the end get the last rate.
  double at(std::int64_t step) const;
  /// One line for the user, or an empty string.
  const std::string& notice() const { return notice_; }
  const ScheduleSettings& settings() const { return settings_; }
  std::int64_t steps() const { return settings_.epochs * settings_.steps_per_epoch; }

 private:
  ScheduleSettings settings_;
  std::string notice_;
};

}  // namespace vergence
