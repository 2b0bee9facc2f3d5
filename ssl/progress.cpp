// Rates, times left, and when to print.
#include "ssl/progress.h"

#include <algorithm>
#include <cmath>
#include <unistd.h>

#include "engine/shown.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr double terminal_interval = 0.1;  // seconds between rewrites of the line
constexpr double averaging_time = 10;      // seconds over which images/s is averaged

std::string format(const char* pattern, double value) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, pattern, value);
  return buffer;
}

}  // namespace

std::string clock_text(double seconds) {
  const long whole = std::isfinite(seconds) ? std::lround(std::clamp(seconds, 0.0, 1e9)) : 0;
  char buffer[32];
  if (whole >= 3600) {
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(buffer, sizeof buffer, "%ld:%02ld", whole / 60, whole % 60);
  }
  return buffer;
}

Progress::Progress(std::int64_t total, std::int64_t start, std::int64_t images, std::FILE* out, double interval)
    : total_(total),
      images_(images),
      last_step_(start),
      out_(out),
      interval_(interval),
      terminal_(isatty(fileno(out)) == 1),
      shown_at_(-1e9) {}

Progress::~Progress() { finish(); }

double Progress::now() const {
  const double since = seconds_since(begin_);
  return (pause_began_ >= 0 ? pause_began_ : since) - paused_;
}

void Progress::pause_clock() {
  if (pause_began_ < 0) pause_began_ = seconds_since(begin_);
}

void Progress::resume_clock() {
  if (pause_began_ < 0) return;
  paused_ += seconds_since(begin_) - pause_began_;
  pause_began_ = -1;
}

void Progress::update(std::int64_t step, std::int64_t epoch, std::int64_t epochs, double loss) {
  const double time = now(), spent = time - last_time_;
  if (step > last_step_ && spent > 0) {
    const double latest = static_cast<double>((step - last_step_) * images_) / spent;
    // An exponential average whose memory is a time, not a number of steps; the first steps count fully.
    const double weight = rate_ > 0 ? 1 - std::exp(-spent / std::min(averaging_time, std::max(time, 1e-3))) : 1;
    rate_ += weight * (latest - rate_);
    last_step_ = step;
    last_time_ = time;
  }
  const double shown_ago = seconds_since(begin_) - shown_at_;
  if (step < total_ && shown_ago < (terminal_ ? terminal_interval : interval_)) return;
  const double left = rate_ > 0 ? static_cast<double>((total_ - step) * images_) / rate_ : 0;
  const std::string loss_text = std::isnan(loss) ? "" : "loss " + format("%.4f", loss) + "  ";
  show(join("epoch ", epoch, "/", epochs, "  step ", step, "/", total_, "  ", loss_text,
            format(rate_ < 100 ? "%.1f" : "%.0f", rate_), " images/s  ", clock_text(time), " spent, ", clock_text(left),
            " left"));
}

void Progress::show(const std::string& text) {
  shown_at_ = seconds_since(begin_);
  if (terminal_) {
    std::fprintf(out_, "\r%-*s", static_cast<int>(width_), text.c_str());
    width_ = text.size();
  } else {
    std::fprintf(out_, "%s\n", text.c_str());
  }
  std::fflush(out_);
}

void Progress::note(const std::string& line) {
  if (terminal_ && width_ > 0) std::fprintf(out_, "\r%-*s\r", static_cast<int>(width_), "");
  width_ = 0;
  shown_at_ = -1e9;
  std::fprintf(out_, "%s\n", printable(line).c_str());
  std::fflush(out_);
}

void Progress::finish() {
  if (terminal_ && width_ > 0) std::fprintf(out_, "\n");
  width_ = 0;
  std::fflush(out_);
}

}  // namespace vergence
