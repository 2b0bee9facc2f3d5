// Trains on frozen features, for all probes but the logistic regression: minibatches in random order, one optimizer
// step for each, and a rate that decays from epoch to epoch.
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
  ScheduleSettings rate;      // counts epochs as its steps
  std::int64_t batch = 1;     // the last batch of an epoch may be smaller
  std::int64_t min_rows = 1;  // smaller batches are left out
  std::uint64_t seed = 1;     // with the stream, sets the order of the rows
  std::uint32_t stream = 0;   // ssl/evaluation/features/streams.h
};

class Fit {
 public:
  /// Returns the mean loss of the given rows.
  using Loss = std::function<Tensor(const std::vector<std::int32_t>& rows)>;

  Fit(const ParameterSet& parameters, const FitSettings& settings);

  /// Makes one pass over `rows` rows; returns the mean of their losses.
  double epoch(std::int64_t number, std::int64_t rows, const Loss& loss);

 private:
  ParameterSet parameters_;
  FitSettings settings_;
  Optimizer optimizer_;
  Schedule schedule_;
};

}  // namespace vergence
