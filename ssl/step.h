// The input and output of a training step.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "datasets/loading/batch.h"
#include "engine/tensor.h"

namespace vergence {

/// A step's place in the run.
struct StepContext {
  double lr = 0;                               // learning rate of this step
  std::int64_t step = 0;                       // steps done before this one
  std::int64_t steps = 1;                      // of the schedule
  std::int64_t first_step = 0;                 // of the schedule; not 0 once it has started again
  double lr_share = 1;                         // lr divided by the options' rate: the schedule's current factor
  std::int64_t epoch = 0;                      // from 0
  std::int64_t images = 0;                     // N
  std::span<const std::int64_t> indices = {};  // the images' indices in the data set; empty: 0 ... N - 1

  std::int64_t index(std::int64_t image) const {
    return indices.empty() ? image : indices[static_cast<std::size_t>(image)];
  }
};

/// Named tensors for the log; of rank 0, if nothing else is said.
using Parts = std::vector<std::pair<std::string, Tensor>>;

/// The same as numbers.
using PartValues = std::vector<std::pair<std::string, double>>;

/// A step's report: constants, still on the device.
struct Step {
  Tensor loss;
  Parts parts;            // summands or other quantities
  Parts distributions{};  // tensors of any shape, shown as histograms

  /// From tensors with a history.
  static Step of(const Tensor& loss, const Parts& parts) {
    Step step{loss.detached(), {}};
    for (const auto& [name, value] : parts) step.parts.emplace_back(name, value.detached());
    return step;
  }
};

}  // namespace vergence
