// The progress line of a run: rewritten in place on a terminal, as wide as that is; a plain line now and then
// elsewhere.
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
/// Up to 9999 as it is; then "12k", "1.2M", cut off, not rounded.
std::string count_text(std::int64_t count);
/// "12,000".
std::string grouped_text(std::int64_t count);
/// The first of these lines, which are there from long to short, that a terminal of so many columns shows without going
/// to its last one, where some wrap; the last one is cut off if none does.
std::string fitting(const std::vector<std::string>& lines, std::int64_t columns);

struct ProgressSettings {
  std::int64_t total = 0, start = 0;  // steps
  std::int64_t epochs = 1;
  std::int64_t images = 1;            // of a step
  double spent_before = 0;            // seconds that the run took up to `start`
  std::int64_t evaluate_every = 0;    // steps between two evaluations; 0: there are none
  std::int64_t last_evaluations = 0;  // after the last step, besides those
  double interval = 5;                // least seconds between plain lines
};

class Progress {
 public:
  /// What the time goes into. All of it counts as spent and, once it is known, as left; only `steps` for images/s.
  enum class Work { steps, saving, evaluating };

  /// Notes go to `log`, and the line to where that shows its own.
  Progress(const ProgressSettings& settings, TrainLog& log);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows step `step` (finished steps, counted from 1) of `epoch` with its loss, unless that is NaN, the recent
  /// images/s, the time spent and the time left. Cheap: most calls print nothing. The last step is always shown.
  void update(std::int64_t step, std::int64_t epoch, double loss);
  /// From now on the time goes into this. Evaluations are counted: how long the past ones took tells how long those to
  /// come will.
  void turn_to(Work work);
  /// Shows how many images of an evaluation are done, as seldom as `update`.
  void evaluating(std::int64_t done, std::int64_t total);
  /// Logs a line of its own, keeping the progress line below it.
  void note(const std::string& line);
  /// Ends the progress line. Called by the destructor too.
  void finish();

  /// Over about the last ten seconds of steps; 0 before the first step. The first one, in which things are set up,
  /// counts only until there is a second.
  double images_per_s() const { return rate_; }
  /// Seconds that the run has taken so far, with those before `start`.
  double spent() const { return settings_.spent_before + seconds_since(begin_); }
  /// Seconds to the end of the run; negative: not known yet.
  double left() const;

 private:
  double seconds_of(Work work) const;
  bool is_due() const;
  void show(const std::array<std::string, 3>& what, const std::string& plain, const std::vector<std::string>& least);
  void rewrite(const std::string& line, std::int64_t columns);

  ProgressSettings settings_;
  TrainLog& log_;
  std::FILE* out_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  Work work_ = Work::steps;
  double turned_at_ = 0;             // seconds since begin_
  std::array<double, 3> seconds_{};  // by work, up to turned_at_
  std::int64_t step_, epoch_ = 1, evaluations_ = 0;
  double evaluated_ = 0;                              // share of the present evaluation
  double first_time_ = 0, last_time_ = 0, rate_ = 0;  // of steps
  std::int64_t rates_ = 0;                            // that rate_ was made of
  double shown_at_ = -1e9;
  std::size_t width_ = 0;  // of the line on the terminal; 0: none
};

}  // namespace vergence
