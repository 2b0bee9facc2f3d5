#include "ssl/step_runner.h"

#include <utility>

namespace vergence {
namespace {

constexpr int eager_steps_first = 2;

}  // namespace

StepRunner::StepRunner(Objective& objective, Backend& backend, bool record)
    : objective_(objective), backend_(backend), wanted_(record && backend.can_record()) {}

const Step& StepRunner::run(const std::function<Views()>& views, const StepContext& context) {
  objective_.prepare(context);
  if (wanted_ && !recording_ && eager_steps_ >= eager_steps_first) record(views);
  if (recording_) {
    replay();
  } else {
    step_ = objective_.run(views());
    ++eager_steps_;
  }
  return step_;
}

/// Notes one step down without running it. Where that cannot be done, steps go on eagerly.
void StepRunner::record(const std::function<Views()>& views) {
  const std::vector<std::int64_t*> counted = counters();
  std::vector<std::int64_t> before;
  for (const std::int64_t* counter : counted) before.push_back(*counter);
  step_ = {};
  backend_.begin_recording();
  std::string refusal;
  try {
    views_ = views();
    step_ = objective_.run(views_);
  } catch (const Error& error) {
    refusal = error.what();
  }
  try {
    recording_ = backend_.end_recording();
  } catch (const Error& error) {
    if (refusal.empty()) refusal = error.what();
  }
  // Recording ran the host's code once, but no step was made: its counters go back and count with every replay.
  increments_.clear();
  for (std::size_t i = 0; i < counted.size(); ++i) {
    increments_.push_back(*counted[i] - before[i]);
    *counted[i] = before[i];
  }
  if (refusal.empty()) return;
  wanted_ = false;
  refusal_ = refusal;
  step_ = {};
  views_ = {};
  recording_.reset();
}

void StepRunner::replay() {
  recording_->replay();
  const std::vector<std::int64_t*> counted = counters();
  require(counted.size() == increments_.size(), "recording: the model's layers changed after they were recorded");
  for (std::size_t i = 0; i < counted.size(); ++i) *counted[i] += increments_[i];
}

/// What a step counts in the host's memory.
std::vector<std::int64_t*> StepRunner::counters() const {
  std::vector<std::int64_t*> list;
  for (const auto& [name, statistics] : objective_.state().statistics)
    for (auto& [layer, running] : statistics->layers) list.push_back(&running.batches);
  return list;
}

}  // namespace vergence
