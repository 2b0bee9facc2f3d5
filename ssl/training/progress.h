// A run's progress line: rewritten in place on a terminal and fitted to its width; elsewhere a plain line now and then.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "kernels/clock.h"
#include "ssl/training/log.h"

namespace vergence {

/// "1:02:03", "2:03" or "0:07".
std::string clock_text(double seconds);
/// 9999 and below as they are; then "12k", "1.2M", truncated, not rounded.
std::string count_text(std::int64_t count);
/// "12,000".
std::string grouped_text(std::int64_t count);
/// Returns the first of these lines, sorted from long to short, that leaves a terminal's last column free (some
/// terminals wrap there). If none does, the last line, cut off.
std::string fitting(const std::vector<std::string>& lines, std::int64_t columns);

struct ProgressSettings {
  std::int64_t total = 0, start = 0;  // steps
  std::int64_t epochs = 1;            // 0: shows none
  std::string unit = "step";
  std::int64_t images = 1;     // per step
  double spent_before = 0;     // seconds spent up to `start`
  double evaluation_work = 0;  // of all evaluations from `start` on, in any unit
  double interval = 5;         // minimum seconds between plain lines
};

class Progress {
 public:
  /// What time is spent on. All of it counts as time spent and in the forecast of time left; only `steps` counts for
  /// images/s.
  enum class Work { steps, saving, evaluating };

  /// Notes go to `log`, the progress line to the stream where `log` shows its lines.
  Progress(const ProgressSettings& settings, TrainLog& log);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows step `step` (finished steps, from 1) of `epoch`: loss unless NaN, recent images/s, time spent and time left.
  /// Cheap: most calls print nothing. Always shows the last step.
  void update(std::int64_t step, std::int64_t epoch, double loss);
  /// From now on time counts for `work`.
  void turn_to(Work work);
  /// The same for an evaluation of so much work: the time of past ones predicts that of future ones.
  void begin_evaluation(double work);
  /// Shows how many images of an evaluation are done, as rarely as `update` shows steps.
  void evaluating(std::int64_t done, std::int64_t total);
  /// Logs a line of its own, keeping the progress line below it.
  void note(const std::string& line);
  /// Ends the progress line. Called by the destructor too.
  void finish();

  /// Images/s over about the last ten seconds of steps; 0 before the first step. The first step, which includes setup,
  /// counts only until the second.
  double images_per_s() const { return rate_; }
  /// Seconds spent so far, including those before `start`.
  double spent() const { return settings_.spent_before + seconds_since(begin_); }
  /// Seconds spent on `work` since `start`.
  double seconds_of(Work work) const;
  /// Seconds to the end of the run; negative: still unknown.
  double left() const;

 private:
  /// Seconds left of the current evaluation and of all later ones.
  double evaluation_left() const;
  bool is_due() const;
  void show(const std::array<std::string, 3>& what, const std::string& plain, const std::vector<std::string>& least);
  void rewrite(const std::string& line, std::int64_t columns);

  ProgressSettings settings_;
  TrainLog& log_;
  std::FILE* out_;  // null: silent
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  Work work_ = Work::steps;
  double turned_at_ = 0;             // seconds since begin_
  std::array<double, 3> seconds_{};  // by work, up to turned_at_
  std::int64_t step_, epoch_ = 1;
  double evaluated_work_ = 0, current_work_ = 0;      // of past evaluations, and of the current one
  double evaluated_ = 0;                              // share of the current evaluation that is done
  double first_time_ = 0, last_time_ = 0, rate_ = 0;  // of steps
  std::int64_t rates_ = 0;                            // how many measurements rate_ combines
  double shown_at_ = -1e9;
  std::size_t width_ = 0;  // of the line on the terminal; 0: none
};

}  // namespace vergence
