// What goes into a training step and what comes out of it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "datasets/loading/batch.h"
#include "engine/tensor.h"

namespace vergence {

/// Where in the run a step stands.
struct StepContext {
  double lr = 0;            // learning rate of this step
  std::int64_t step = 0;    // steps done before this one
  std::int64_t steps = 1;   // of the whole schedule
  double lr_share = 1;      // lr as a share of the rate that the options ask for: where the schedule stands
  std::int64_t epoch = 0;   // from 0
  std::int64_t images = 0;  // N
  std::span<const std::int64_t> indices = {};  // the images' places in the data set; empty: 0 ... N - 1

  std::int64_t index(std::int64_t image) const {
    return indices.empty() ? image : indices[static_cast<std::size_t>(image)];
  }
};

/// Rank-0 tensors worth a log line, by name.
using Parts = std::vector<std::pair<std::string, Tensor>>;

/// The same once they are read.
using PartValues = std::vector<std::pair<std::string, double>>;

/// What a step reports: constants, still on the device.
struct Step {
  Tensor loss;
  Parts parts;  // summands or other quantities

  /// From tensors with a history.
  static Step of(const Tensor& loss, const Parts& parts) {
    Step step{loss.detached(), {}};
    for (const auto& [name, value] : parts) step.parts.emplace_back(name, value.detached());
    return step;
  }
};

}  // namespace vergence
