#include "ssl/training/step_timing.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "engine/text/printable.h"
#include "kernels/clock.h"
#include "ssl/bench/step.h"
#include "ssl/options/recipes.h"
#include "ssl/steps/runner.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

constexpr double max_flops_on_cpu = 1e11, max_seconds = 6, long_run_hours = 3;
constexpr std::int64_t min_batch = 8;

/// This machine's free memory in bytes; unknown: the maximum.
std::int64_t available_memory() {
  std::ifstream in("/proc/meminfo");
  std::string name;
  std::int64_t kibibytes = 0;
  while (in >> name >> kibibytes) {
    if (name == "MemAvailable:") return kibibytes << 10;
    in.ignore(100, '\n');
  }
  return std::numeric_limits<std::int64_t>::max();
}

/// Runs steps with its own batch size, in the middle of the schedule.
class Trial {
 public:
  Trial(const Options& options, std::int64_t batch, const TrainingPlan& plan, Backend& device, bool begun)
      : options_(options), begun_(begun), steps_(plan.steps), next_(plan.steps / 2) {
    options_.batch = batch;
    if (options.micro_batch > 0 && batch < options.batch &&
        options.micro_batch < options.batch)  // as many parts as the whole batch has
      options_.micro_batch = std::max<std::int64_t>(2, options.micro_batch * batch / options.batch);
    options_.image_size = plan.image_size;
    ObjectiveSetup setup = objective_setup(options_, plan.image_size, device, plan.channels);
    setup.begun = begun_;
    objective_ = make_objective(setup);
    const std::int64_t needed = objective_->cost(batch).bytes / 4 * 5;
    const std::int64_t there = device.traits().own_memory ? device.free_memory() : available_memory();
    require(needed < there, "a step needs about ", needed >> 20, " MiB of memory, and ", there >> 20, " MiB are free");
    views_ = bench_views(options_, *objective_, device, plan.channels);
    runner_ = std::make_unique<StepRunner>(*objective_, device, options_.record);
  }

  std::int64_t batch() const { return options_.batch; }
  bool begun() const { return begun_; }

  /// Seconds of a mean step, from a few steps timed after the warm-up.
  double seconds(bool recorded) {
    const auto begin = Clock::now();
    for (int i = 0; i < (recorded ? 3 : 1); ++i) step();
    std::vector<TimedStep> steps;
    do {
      const double seconds = step();
      steps.push_back({seconds, objective_->step_kind()});
    } while (steps.size() < (recorded ? 9u : 3u) && seconds_since(begin) < max_seconds / 2);
    const StepCost cost = objective_->cost(options_.batch);
    if (steps.size() == 1 && steps[0].kind > 0 && cost.occasional > 0) {
      const double seconds = step();
      steps.push_back({seconds, objective_->step_kind()});
    }
    return mean_step_seconds(steps, cost);
  }

 private:
  double step() {
    const auto begin = Clock::now();
    const StepContext context{
        .lr = options_.effective_lr(), .step = next_++, .steps = steps_, .images = options_.batch};
    runner_->run([this] { return views_; }, context).loss.item();  // waits for the device
    return seconds_since(begin);
  }

  Options options_;
  bool begun_;
  std::int64_t steps_, next_;
  std::unique_ptr<Objective> objective_;
  Views views_;
  std::unique_ptr<StepRunner> runner_;
};

/// A batch size for a fast step, or a larger one if the objective needs it.
std::unique_ptr<Trial> quick_trial(const Options& options, const TrainingPlan& plan, Backend& device, bool begun) {
  const double flops_per_image = plan.step.flops / static_cast<double>(options.batch);
  std::int64_t batch = options.batch;
  if (!device.traits().wide)
    batch = std::min(batch, std::max(min_batch, static_cast<std::int64_t>(max_flops_on_cpu / flops_per_image)));
  for (;; batch = std::min(2 * batch, options.batch)) {
    try {
      return std::make_unique<Trial>(options, batch, plan, device, begun);
    } catch (const UsageError&) {
      if (batch == options.batch) throw;
    }
  }
}

/// Seconds per additional image, measured with a smaller step.
double seconds_per_image(const Options& options, const TrainingPlan& plan, Backend& device, const Trial& trial,
                         double whole) {
  const double even = whole / static_cast<double>(trial.batch());
  const std::int64_t least = options.micro_batch > 0 ? 4 : 2;  // two parts of two images
  const std::int64_t fewer = std::max(least, trial.batch() / 4);
  try {
    const double part = Trial(options, fewer, plan, device, trial.begun()).seconds(false);
    // Limits the effect of a noisy clock: at least half of a step's time grows with the batch.
    return std::clamp((whole - part) / static_cast<double>(trial.batch() - fewer), even / 2, even * 1.2);
  } catch (const UsageError&) {
    return even;
  }
}

}  // namespace

double mean_step_seconds(const std::vector<TimedStep>& steps, const StepCost& cost) {
  std::vector<double> usual, all;
  for (const TimedStep& step : steps) {
    all.push_back(step.seconds);
    if (step.kind == 0) usual.push_back(step.seconds);
  }
  // Too few steps are timed to meet the right share of the occasional ones.
  const bool scaled = cost.occasional > 0 && !usual.empty();
  std::vector<double>& times = scaled ? usual : all;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle * (scaled ? cost.flops / (cost.flops - cost.occasional) : 1);
}

StepTime time_step(const Options& options, const TrainingPlan& plan, Backend& device, bool begun) {
  try {
    device.set_choices(kernel_choices(options));
    const std::unique_ptr<Trial> trial = quick_trial(options, plan, device, begun);
    double seconds = trial->seconds(device.traits().records);
    if (const std::int64_t more = options.batch - trial->batch(); more > 0)
      seconds += static_cast<double>(more) * seconds_per_image(options, plan, device, *trial, seconds);
    return {seconds, ""};
  } catch (const std::bad_alloc&) {
    return {0, "out of memory"};
  } catch (const std::exception& error) {
    return {0, error.what()};
  }
}

std::string about_duration(double seconds) {
  char text[64];
  const double minutes = seconds / 60, hours = minutes / 60;
  if (seconds < 1.5) return "about 1 second";
  if (seconds < 90)
    std::snprintf(text, sizeof text, "about %.0f seconds", seconds);
  else if (minutes < 90)
    std::snprintf(text, sizeof text, "about %.0f minutes", minutes);
  else if (hours < 72)
    std::snprintf(text, sizeof text, "about %.1f hours", hours);
  else
    std::snprintf(text, sizeof text, "about %.0f days (%.0f hours)", hours / 24, hours);
  return text;
}

std::int64_t planned_steps(const Options& options, const TrainingPlan& plan) {
  const std::int64_t end = options.max_steps > 0 ? std::min(options.max_steps, plan.steps) : plan.steps;
  return std::max<std::int64_t>(0, end - (options.extend > 0 ? plan.steps - plan.steps_per_epoch * options.extend : 0));
}

std::string time_text(const Options& options, const TrainingPlan& plan, const StepTime& time) {
  if (time.seconds <= 0) return join("time              not tried: ", printable(time.why_not), "\n");
  const double all = time.seconds * static_cast<double>(planned_steps(options, plan));
  const double rate = static_cast<double>(options.batch) / time.seconds;
  char text[160];
  std::snprintf(text, sizeof text, "time              %s%s at %.*f images/s on this machine (steps alone)\n",
                about_duration(all).c_str(), options.extend > 0 ? " for the added epochs" : "", rate < 10 ? 1 : 0,
                rate);
  std::string lines = text;
  const std::string quick = options.recipe + "_short";
  if (all > 3600 * long_run_hours && !options.recipe.empty() && !find_recipe(quick).empty())
    lines += "a shorter run     --config " + quick + "\n";
  return lines;
}

}  // namespace vergence
