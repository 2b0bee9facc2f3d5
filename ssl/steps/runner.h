// Runs training steps: eagerly, or, on a device that can, recorded once and repeated, with the same results.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ssl/objective.h"

namespace vergence {

/// The first two steps of a kind (Objective::variant) run eagerly and bring everything into being that lasts; the third
/// is recorded; from then on it is repeated. What changes from step to step reaches the device through
/// `Objective::prepare`.
class StepRunner {
 public:
  /// Both must outlive the runner. `record` false: every step runs eagerly.
  StepRunner(Objective& objective, Backend& backend, bool record = true);

  /// One step. `views` is the device's part of making the batch: it becomes part of the recording and must give the
  /// same tensors every time. The result is valid until the next step.
  const Step& run(const std::function<Views()>& views, const StepContext& context);

  /// Whether the last step was a recorded one.
  bool recorded() const { return last_ && last_->recording; }
  /// Why a step that was to be recorded runs eagerly; empty if none was refused.
  const std::string& refusal() const { return refusal_; }

 private:
  struct Kind {
    int eager_steps = 0;
    std::unique_ptr<Rehearsal> rehearsal;  // of the last eager step
    std::unique_ptr<Recording> recording;
    Views views;                           // keep the recorded batch alive
    std::vector<std::int64_t> increments;  // of the host's counters, in one step
    Step step;
  };

  void record(Kind& kind, const std::function<Views()>& views);
  void replay(Kind& kind);
  std::vector<std::int64_t*> counters() const;

  Objective& objective_;
  Backend& backend_;
  bool wanted_;
  std::map<int, Kind> kinds_;
  const Kind* last_ = nullptr;
  std::string refusal_;
};

}  // namespace vergence
