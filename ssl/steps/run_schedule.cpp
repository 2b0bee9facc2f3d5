#include "ssl/steps/run_schedule.h"

#include <algorithm>

#include "engine/text/words.h"
#include "ssl/options/extension.h"

namespace vergence {
namespace {

/// The options' schedule over another number of epochs than the run had before its extensions.
Schedule schedule_over(std::int64_t epochs, const Options& options, std::int64_t epochs_before,
                       std::int64_t steps_per_epoch, bool with_warmup) {
  ScheduleSettings settings;
  settings.kind = options.schedule;
  settings.base = options.effective_lr();
  settings.epochs = epochs;
  settings.steps_per_epoch = steps_per_epoch;
  settings.warmup_epochs = with_warmup ? options.warmup_epochs : 0;
  settings.start = options.warmup_start;
  settings.milestones = options.step_epochs;
  settings.factor = options.step_factor;
  if (epochs != epochs_before)
    for (double& milestone : settings.milestones)
      milestone = milestone * static_cast<double>(epochs) / static_cast<double>(epochs_before);
  return Schedule(settings);
}

/// A line if drops of a step schedule come after the run's end: those of a recipe for a longer run.
std::string late_drops_text(const Options& options) {
  if (options.schedule != ScheduleKind::step) return "";
  std::vector<std::string> late;
  for (const double epoch : options.step_epochs)
    if (epoch >= static_cast<double>(options.epochs)) late.push_back(join(epoch));
  if (late.empty()) return "";
  const bool all = late.size() == options.step_epochs.size();
  return join("the run ends after ", counted(options.epochs, "epoch"),
              late.size() == 1 ? ", before the learning rate's drop at " : ", before the learning rate's drops at ",
              listed(late), all ? ": it never drops; --step-epochs chooses others" : "; --step-epochs chooses others");
}

}  // namespace

RunSchedule::RunSchedule(const Options& options, std::int64_t steps_per_epoch)
    : steps_(options.epochs * steps_per_epoch) {
  const std::vector<Extension> extensions = extensions_of(options);
  const std::int64_t before = extensions.empty() ? options.epochs : extensions[0].after;
  parts_.push_back({0, 0, schedule_over(before, options, before, steps_per_epoch, true)});
  for (std::size_t i = 0; i < extensions.size(); ++i) {
    const auto& [after, kind] = extensions[i];
    const bool restarts = kind == ExtendSchedule::restart;
    const std::int64_t first = restarts ? after : 0;
    const std::int64_t end = i + 1 < extensions.size() ? extensions[i + 1].after : options.epochs;
    parts_.push_back({after * steps_per_epoch, first * steps_per_epoch,
                      schedule_over(end - first, options, before, steps_per_epoch, !restarts)});
  }
  notice_ = parts_.back().schedule.notice();
  if (!extensions.empty()) return;  // their drops scale with the schedule
  const std::string drops = late_drops_text(options);
  notice_ += (notice_.empty() || drops.empty() ? "" : "\n") + drops;
}

const RunSchedule::Part& RunSchedule::part(std::int64_t step) const {
  const auto later = std::upper_bound(parts_.begin() + 1, parts_.end(), step,
                                      [](std::int64_t s, const Part& p) { return s < p.from; });
  return *(later - 1);
}

double RunSchedule::at(std::int64_t step) const {
  const Part& now = part(step);
  return now.schedule.at(step - now.first);
}

RunSchedule::Span RunSchedule::span(std::int64_t step) const {
  const Part& now = part(step);
  return {now.first, now.schedule.steps()};
}

}  // namespace vergence
