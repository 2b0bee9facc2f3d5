// What a run spends its time on: the part of a line of metrics.jsonl that depends on the clock.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>

#include "datasets/loading/batch_source.h"
#include "ssl/training/progress.h"

namespace vergence {

class TimeShares {
 public:
  /// Both must outlive this.
  TimeShares(const Progress& progress, const BatchSource& batches) : progress_(progress), batches_(batches) {}

  /// seconds (of the whole run), images_per_s, and the shares of the time since the last call that went into waiting
  /// for data, steps, evaluations and checkpoints: data_wait, step, evaluation, checkpoint. They add up to 1.
  nlohmann::ordered_json line();

 private:
  using Seconds = std::array<double, 4>;  // in the order above
  Seconds seconds() const;

  const Progress& progress_;
  const BatchSource& batches_;
  Seconds before_{};
};

}  // namespace vergence
