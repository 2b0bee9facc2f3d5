#include "ssl/evaluation/probes/fit.h"

#include <algorithm>

#include "engine/ops/ops.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {

Fit::Fit(const ParameterSet& parameters, const FitSettings& settings)
    : parameters_(parameters),
      settings_(settings),
      optimizer_(parameters, settings.optimizer),
      schedule_(settings.rate) {}

double Fit::epoch(std::int64_t number, std::int64_t rows, const Loss& loss) {
  const std::vector<std::int32_t> order = shuffled(rows, settings_.seed, number, settings_.stream);
  const double rate = schedule_.at(number);
  Tensor total = zeros(parameters_.flat().backend(), {});
  for (std::int64_t begin = 0; begin < rows; begin += settings_.batch) {
    const std::int64_t count = std::min(settings_.batch, rows - begin);
    if (count < settings_.min_rows) break;
    const Tensor mean = loss({order.begin() + begin, order.begin() + begin + count});
    parameters_.backward(mean);
    optimizer_.step(rate);
    total = total + static_cast<double>(count) / static_cast<double>(rows) * mean.detached();
  }
  return total.item();
}

}  // namespace vergence
