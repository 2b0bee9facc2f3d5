// Runs training steps eagerly or, if the device supports it, records one and replays it, with the same results.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ssl/objective.h"

namespace vergence {

/// The first two steps of a kind (Objective::step_kind) run eagerly and create all lasting state. The third is
/// recorded; later ones replay it. The first step of a kind frees the recordings of others, which are made again if
/// those come back. `Objective::prepare` uploads what changes from step to step.
class StepRunner {
 public:
  /// Both must outlive the runner. Without `record`, every step runs eagerly.
  StepRunner(Objective& objective, Backend& backend, bool record = true);

  /// Runs one step. `views`, the device's part of making the batch, is recorded too and must return the same tensors
  /// each time. The result is valid until the next step.
  const Step& run(const std::function<Views()>& views, const StepContext& context);

  /// Whether the last step was recorded or replayed.
  bool recorded() const { return last_ && last_->recording; }
  /// Why the device refused to record steps, which then run eagerly; empty if it did not refuse.
  const std::string& refusal() const { return refusal_; }

 private:
  struct RecordedStep {
    int eager_steps = 0;
    std::unique_ptr<Rehearsal> rehearsal;  // of the last eager step
    std::unique_ptr<Recording> recording;
    Views views;                           // keeps the recorded batch alive
    std::vector<std::int64_t> increments;  // of the host's counters per step
    Step step;
  };

  void record(RecordedStep& kind, const std::function<Views()>& views);
  void run_eagerly(RecordedStep& kind, const std::function<Views()>& views);
  void run_after_refusal(RecordedStep& kind, const std::function<Views()>& views);
  void replay(RecordedStep& kind);
  std::vector<std::int64_t*> counters() const;

  Objective& objective_;
  Backend& backend_;
  bool wanted_;
  std::map<int, RecordedStep> kinds_;
  const RecordedStep* last_ = nullptr;
  std::string refusal_;
};

}  // namespace vergence
