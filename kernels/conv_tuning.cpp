#include "kernels/conv_tuning.h"

#include <algorithm>
#include <mutex>

#include "kernels/clock.h"

namespace vergence {

namespace {

struct Tuning {
  std::mutex mutex;
  bool on = false;
  ConvChoices choices;
};

Tuning& tuning() {
  static Tuning one;
  return one;
}

std::string case_of(const ConvShape& s, ConvPass pass, DType type) {
  const char* pass_name = pass == ConvPass::forward ? "forward" : pass == ConvPass::data ? "data" : "weight";
  return join(s.batch, "x", s.in_height, "x", s.in_width, "x", s.in_channels, " -> ", s.out_channels, ", ",
              s.kernel_height, "x", s.kernel_width, "/", s.stride, "+", s.padding, "*", s.dilation, ", groups ",
              s.groups, ", ", pass_name, ", ", vergence::name_of(type));
}

/// Seconds of the fastest of three runs after a first one.
double seconds_of(const std::function<void()>& run) {
  run();
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto begin = Clock::now();
    run();
    best = std::min(best, seconds_since(begin));
  }
  return best;
}

}  // namespace

void start_conv_tuning(const ConvChoices& known) {
  const std::lock_guard lock(tuning().mutex);
  tuning().on = true;
  tuning().choices = known;
}

void stop_conv_tuning() {
  const std::lock_guard lock(tuning().mutex);
  tuning().on = false;
}

bool conv_tuning() {
  const std::lock_guard lock(tuning().mutex);
  return tuning().on;
}

ConvChoices conv_choices() {
  const std::lock_guard lock(tuning().mutex);
  return tuning().choices;
}

std::size_t tuned_conv(const ConvShape& shape, ConvPass pass, DType type,
                       const std::vector<ConvCandidate>& candidates) {
  const std::lock_guard lock(tuning().mutex);
  const std::string name = case_of(shape, pass, type);
  if (const auto known = tuning().choices.find(name); known != tuning().choices.end())
    for (std::size_t i = 0; i < candidates.size(); ++i)
      if (known->second == candidates[i].name) return i;
  std::size_t best = 0;
  double least = 1e30;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const double seconds = seconds_of(candidates[i].run);
    if (seconds < least) least = seconds, best = i;
  }
  tuning().choices[name] = candidates[best].name;
  return best;
}

}  // namespace vergence
