#include "kernels/conv_tuning.h"

#include <algorithm>

#include "kernels/clock.h"

namespace vergence {

namespace {

/// Seconds of the fastest of three runs, after one warm-up run.
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

ConvTuning::ConvTuning(ConvChoices known) : choices_(std::move(known)) {}

ConvChoices ConvTuning::choices() const {
  const std::lock_guard lock(mutex_);
  return choices_;
}

void ConvTuning::note(const std::string& of, const std::string& name) {
  const std::lock_guard lock(mutex_);
  choices_.try_emplace(of, name);
}

std::size_t ConvTuning::choose(const std::string& of, const std::vector<ConvCandidate>& candidates) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto known = choices_.find(of); known != choices_.end())
      for (std::size_t i = 0; i < candidates.size(); ++i)
        if (known->second == candidates[i].name) return i;
  }
  std::size_t best = 0;
  double least = 1e30;
  for (std::size_t i = 0; i < candidates.size(); ++i) {  // a candidate may itself have to choose
    const double seconds = seconds_of(candidates[i].run);
    if (seconds < least) least = seconds, best = i;
  }
  const std::lock_guard lock(mutex_);
  choices_[of] = candidates[best].name;
  return best;
}

}  // namespace vergence
