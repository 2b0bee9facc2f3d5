// The training loop of evaluations, for fine-tuning and all probes but the logistic regression: minibatches in random
// order, one optimizer step for each, and a rate that decays.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/optimizer.h"
#include "engine/parameters.h"
#include "engine/schedule.h"

namespace vergence {

struct FitSettings {
  OptimizerSettings optimizer;
  ScheduleSettings rate;      // its steps_per_epoch 1: the rate changes from epoch to epoch only
  std::int64_t batch = 1;     // the last batch of an epoch may be smaller
  std::int64_t min_rows = 1;  // smaller batches are left out
  std::uint64_t seed = 1;     // with the stream, sets the order of the rows
  std::uint32_t stream = 0;   // ssl/evaluation/features/streams.h
};

/// Adam with a rate that falls exponentially from `lr` to `final_lr`.
FitSettings adam_fit(std::int64_t epochs, double lr, double final_lr);

class Fit {
 public:
  /// Returns the mean loss of the given rows.
  using Loss = std::function<Tensor(const std::vector<std::int32_t>& rows)>;

  Fit(const ParameterSet& parameters, const FitSettings& settings);

  /// Trains these parameters too, in the same steps, with an optimizer and a rate of their own.
  void also(const ParameterSet& parameters, const OptimizerSettings& optimizer, const ScheduleSettings& rate);

  /// Makes one pass over `rows` rows; returns the mean of their losses.
  double epoch(std::int64_t number, std::int64_t rows, const Loss& loss);

 private:
  struct Group {
    ParameterSet parameters;
    Optimizer optimizer;
    Schedule rate;
  };

  void backward(const Tensor& loss) const;

  FitSettings settings_;
  std::vector<Group> groups_;
};

}  // namespace vergence
