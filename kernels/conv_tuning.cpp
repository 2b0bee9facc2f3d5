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

std::size_t tuned_choice(const std::string& of, const std::vector<ConvCandidate>& candidates) {
  {
    const std::lock_guard lock(tuning().mutex);
    if (const auto known = tuning().choices.find(of); known != tuning().choices.end())
      for (std::size_t i = 0; i < candidates.size(); ++i)
        if (known->second == candidates[i].name) return i;
  }
  std::size_t best = 0;
  double least = 1e30;
  for (std::size_t i = 0; i < candidates.size(); ++i) {  // a candidate may have a choice of its own to make
    const double seconds = seconds_of(candidates[i].run);
    if (seconds < least) least = seconds, best = i;
  }
  const std::lock_guard lock(tuning().mutex);
  tuning().choices[of] = candidates[best].name;
  return best;
}

}  // namespace vergence
