// Rates, times left, and when to print.
#include "ssl/training/progress.h"

#include <algorithm>
#include <cmath>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

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

/// Five digits.
std::string loss_text(double loss) {
  const double size = std::abs(loss);
  return format(size < 10 ? "%.4f" : size < 100 ? "%.3f" : size < 1000 ? "%.2f" : size < 1e5 ? "%.1f" : "%.4g", loss);
}

/// Joins those that are not empty.
std::string spaced(const std::vector<std::string>& list) {
  std::string line;
  for (const std::string& part : list) line += (line.empty() || part.empty() ? "" : "  ") + part;
  return line;
}

/// Asked each time, since it may be resized.
std::int64_t columns_of(std::FILE* terminal) {
  winsize size{};
  return ioctl(fileno(terminal), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
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

std::string count_text(std::int64_t count) {
  if (count < 10'000) return std::to_string(count);
  const std::int64_t unit = count < 1'000'000 ? 1'000 : 1'000'000, tenths = count / (unit / 10);
  return tenths < 100 ? join(tenths / 10, ".", tenths % 10, unit == 1'000 ? "k" : "M")
                      : join(count / unit, unit == 1'000 ? "k" : "M");
}

std::string grouped_text(std::int64_t count) {
  std::string text = std::to_string(count);
  for (auto place = static_cast<std::ptrdiff_t>(text.size()) - 3; place > 0; place -= 3)
    text.insert(static_cast<std::size_t>(place), ",");
  return text;
}

std::string fitting(const std::vector<std::string>& lines, std::int64_t columns) {
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(columns - 1, 0));
  for (const std::string& line : lines)
    if (line.size() <= most) return line;
  return lines.empty() ? "" : lines.back().substr(0, most);
}

Progress::Progress(const ProgressSettings& settings, TrainLog& log)
    : settings_(settings),
      log_(log),
      out_(log.out()),
      terminal_(out_ && isatty(fileno(out_)) == 1),
      step_(settings.start) {}

Progress::~Progress() { finish(); }

double Progress::seconds_of(Work work) const {
  return seconds_[static_cast<std::size_t>(work)] + (work == work_ ? seconds_since(begin_) - turned_at_ : 0);
}

void Progress::turn_to(Work work) {
  if (work_ == Work::evaluating) evaluated_work_ += std::exchange(current_work_, 0);
  const double now = seconds_since(begin_);
  seconds_[static_cast<std::size_t>(work_)] += now - turned_at_;
  turned_at_ = now;
  work_ = work;
  evaluated_ = 0;
}

void Progress::begin_evaluation(double work) {
  turn_to(Work::evaluating);
  current_work_ = work;
}

double Progress::left() const {
  if (rates_ < 2) return -1;
  const auto made = static_cast<double>(step_ - settings_.start),
             to_make = static_cast<double>(settings_.total - step_);
  return to_make * (static_cast<double>(settings_.images) / rate_ + seconds_of(Work::saving) / made) +
         evaluation_left();
}

double Progress::evaluation_left() const {
  if (settings_.evaluation_work <= 0) return 0;
  const bool evaluates = work_ == Work::evaluating && current_work_ > 0;
  const double current = evaluates ? seconds_since(begin_) - turned_at_ : 0;
  const double finished = seconds_of(Work::evaluating) - current;
  double seconds_per_work = 0;
  if (evaluated_work_ > 0)
    seconds_per_work = finished / evaluated_work_;
  else if (evaluated_ > 0)
    seconds_per_work = current / (evaluated_ * current_work_);
  const double later = seconds_per_work * std::max(settings_.evaluation_work - evaluated_work_ - current_work_, 0.0);
  if (!evaluates) return later;
  if (evaluated_ > 0) return later + current * (1 / evaluated_ - 1);
  return later + std::max(seconds_per_work * current_work_ - current, 0.0);
}

bool Progress::is_due() const {
  return seconds_since(begin_) - shown_at_ >= (terminal_ ? terminal_interval : settings_.interval);
}

void Progress::update(std::int64_t step, std::int64_t epoch, double loss) {
  const double time = seconds_of(Work::steps), spent = time - last_time_;
  epoch_ = epoch;
  if (step > step_ && spent > 0) {
    const double latest = static_cast<double>((step - step_) * settings_.images) / spent;
    // An exponential average over time, not steps. It starts with the second step: the first one includes setup.
    const double memory = std::min(averaging_time, time - first_time_);
    rate_ += (rates_ < 2 ? 1 : 1 - std::exp(-spent / memory)) * (latest - rate_);
    if (rates_++ == 0) first_time_ = time;
    last_time_ = time;
  }
  step_ = std::max(step, step_);
  if (step < settings_.total && !is_due()) return;
  const std::string rate = format(rate_ < 10 ? "%.1f" : "%.0f", rate_);
  const std::string number = std::isnan(loss) ? "" : loss_text(loss), named = number.empty() ? "" : "loss " + number;
  show({spaced({named, rate + " img/s"}), named, number}, spaced({named, rate + " images/s"}),
       {join(count_text(step), "/", count_text(settings_.total))});
}

void Progress::evaluating(std::int64_t done, std::int64_t total) {
  evaluated_ = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 0;
  if (!is_due()) return;
  const std::string what = join("evaluating ", grouped_text(done), "/", grouped_text(total));
  show({what, what, what}, what, {what, what.substr(what.find(' ') + 1)});
}

/// On a terminal, shows the longest form that fits: first of `what`, then of `least`. Elsewhere prints `plain`.
void Progress::show(const std::array<std::string, 3>& what, const std::string& plain,
                    const std::vector<std::string>& least) {
  if (!out_) return;
  shown_at_ = seconds_since(begin_);
  const double seconds = left();
  if (!terminal_) {
    const std::string ahead = seconds < 0 ? "" : join(", ", clock_text(seconds), " left");
    const std::string line = spaced({settings_.epochs > 0 ? join("epoch ", epoch_, "/", settings_.epochs) : "",
                                     join(settings_.unit, " ", step_, "/", settings_.total), plain,
                                     join(clock_text(spent()), " spent", ahead)});
    std::fprintf(out_, "%s\n", line.c_str());
    std::fflush(out_);
    return;
  }
  const std::string epoch = settings_.epochs > 0 ? join(epoch_, "/", settings_.epochs) : "";
  const std::string step = join(count_text(step_), "/", count_text(settings_.total)),
                    named = settings_.unit + " " + step;
  const std::string time = join(clock_text(spent()), " < ", seconds < 0 ? "?" : clock_text(seconds));
  const std::int64_t columns = columns_of(out_);
  std::vector<std::string> lines{spaced({epoch, named, what[0], time}), spaced({epoch, named, what[1], time}),
                                 spaced({named, what[1], time}), spaced({step, what[2], time}),
                                 spaced({least[0], time})};
  lines.insert(lines.end(), least.begin(), least.end());
  rewrite(fitting(lines, columns), columns);
}

/// Replaces the current line with `line`.
void Progress::rewrite(const std::string& line, std::int64_t columns) {
  const auto most = static_cast<std::size_t>(std::max<std::int64_t>(columns - 1, 0));
  std::fprintf(out_, "\r%-*s", static_cast<int>(std::min(width_, most)), line.c_str());
  if (line.empty()) std::fputc('\r', out_);
  std::fflush(out_);
  width_ = line.size();
}

void Progress::note(const std::string& line) {
  if (terminal_ && width_ > 0) rewrite("", columns_of(out_));
  shown_at_ = -1e9;
  log_.say(line);
}

void Progress::finish() {
  if (terminal_ && width_ > 0) std::fprintf(out_, "\n");
  width_ = 0;
  if (out_) std::fflush(out_);
}

}  // namespace vergence
