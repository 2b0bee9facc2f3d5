#include "ssl/steps/runner.h"

#include <utility>

namespace vergence {
namespace {

constexpr int eager_steps_first = 2;

}  // namespace

StepRunner::StepRunner(Objective& objective, Backend& backend, bool record)
    : objective_(objective), backend_(backend), wanted_(record && backend.traits().records) {}

const Step& StepRunner::run(const std::function<Views()>& views, const StepContext& context) {
  objective_.prepare(context);
  RecordedStep& kind = kinds_[objective_.step_kind()];
  last_ = &kind;
  // A recording takes the memory of a whole step. Once a new kind appears, those before it rarely come back, so their
  // recordings go.
  if (kind.eager_steps == 0) std::erase_if(kinds_, [](const auto& one) { return one.second.recording != nullptr; });
  const bool try_now = wanted_ && !kind.recording && kind.eager_steps >= eager_steps_first;
  if (try_now) record(kind, views);
  if (kind.recording) {
    replay(kind);
  } else if (try_now) {
    run_after_refusal(kind, views);
  } else {
    run_eagerly(kind, views);
  }
  return kind.step;
}

void StepRunner::run_eagerly(RecordedStep& kind, const std::function<Views()>& views) {
  const bool rehearsal = wanted_ && kind.eager_steps + 1 == eager_steps_first;
  if (rehearsal) backend_.begin_rehearsal();
  kind.step = objective_.run(views());
  if (rehearsal) kind.rehearsal = backend_.end_rehearsal();
  ++kind.eager_steps;
}

/// Runs the step that could not be recorded. What stopped the recording may stop the step too, and is the cause.
void StepRunner::run_after_refusal(RecordedStep& kind, const std::function<Views()>& views) {
  try {
    run_eagerly(kind, views);
  } catch (const Error& error) {
    throw Error(join(error.what(), " (after the step could not be recorded: ", refusal_, "; try --record off)"));
  }
}

/// Records one step without running it. If that fails, steps continue eagerly.
void StepRunner::record(RecordedStep& kind, const std::function<Views()>& views) {
  const std::vector<std::int64_t*> counted = counters();
  std::vector<std::int64_t> before;
  for (const std::int64_t* counter : counted) before.push_back(*counter);
  kind.step = {};
  std::string refusal;
  bool begun = false;
  try {
    backend_.begin_recording(std::exchange(kind.rehearsal, nullptr).get());
    begun = true;
    kind.views = views();
    kind.step = objective_.run(kind.views);
  } catch (const std::exception& error) {
    refusal = error.what();
  }
  try {
    if (begun) kind.recording = backend_.end_recording();
  } catch (const std::exception& error) {
    if (refusal.empty()) refusal = error.what();
  }
  // Recording ran the host's code once without a step: reset its counters, which then count with every replay.
  kind.increments.clear();
  for (std::size_t i = 0; i < counted.size(); ++i) {
    kind.increments.push_back(*counted[i] - before[i]);
    *counted[i] = before[i];
  }
  if (refusal.empty()) return;
  wanted_ = false;
  refusal_ = refusal;
  kind = {};
}

void StepRunner::replay(RecordedStep& kind) {
  kind.recording->replay();
  const std::vector<std::int64_t*> counted = counters();
  require(counted.size() == kind.increments.size(), "recording: the model's layers changed after they were recorded");
  for (std::size_t i = 0; i < counted.size(); ++i) *counted[i] += kind.increments[i];
}

/// A step's counters in the host's memory.
std::vector<std::int64_t*> StepRunner::counters() const {
  std::vector<std::int64_t*> list;
  for (const auto& [name, statistics] : objective_.state().statistics)
    for (auto& [layer, running] : statistics->layers) list.push_back(&running.batches);
  return list;
}

}  // namespace vergence
