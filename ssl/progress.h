// The progress line of a long computation: rewritten in place on a terminal, a plain line now and then elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "kernels/clock.h"

namespace vergence {

/// "1:02:03", "2:03" or "0:07".
std::string clock_text(double seconds);

class Progress {
 public:
  /// `total` and `start` count steps, `images` is the images of one step. `interval`: least seconds between plain
  /// lines.
  Progress(std::int64_t total, std::int64_t start, std::int64_t images, std::FILE* out = stdout, double interval = 5);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows step `step` (finished steps, counted from 1) of `epoch` with its loss, the recent images/s and the time
  /// left. Cheap: most calls print nothing. The last step is always shown.
  void update(std::int64_t step, std::int64_t epoch, std::int64_t epochs, double loss);
  /// Prints a line of its own, as printable() shows it, keeping the progress line below it.
  void note(const std::string& line);
  /// Ends the progress line. Called by the destructor too.
  void finish();
  /// Leaves the time until `resume_clock` out of images/s and time left (evaluation, checkpoints).
  void pause_clock();
  void resume_clock();

  /// Over about the last ten seconds of steps; 0 before the first step.
  double images_per_s() const { return rate_; }

 private:
  double now() const;
  void show(const std::string& text);

  std::int64_t total_, images_, last_step_;
  std::FILE* out_;
  double interval_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
  double paused_ = 0, pause_began_ = -1;  // seconds
  double last_time_ = 0, rate_ = 0, shown_at_;
  std::size_t width_ = 0;  // of the line on the terminal; 0: none
};

}  // namespace vergence
