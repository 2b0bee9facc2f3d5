#include "ssl/evaluation/probes/fit.h"

#include <algorithm>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "ssl/evaluation/features/streams.h"

namespace vergence {

FitSettings adam_fit(std::int64_t epochs, double lr, double final_lr) {
  FitSettings settings;
  settings.optimizer.kind = OptimizerKind::adam;
  settings.rate = {.kind = ScheduleKind::exponential, .base = lr, .epochs = epochs, .minimum = final_lr};
  return settings;
}

Fit::Fit(const ParameterSet& parameters, const FitSettings& settings) : settings_(settings) {
  also(parameters, settings.optimizer, settings.rate);
}

void Fit::also(const ParameterSet& parameters, const OptimizerSettings& optimizer, const ScheduleSettings& rate) {
  groups_.push_back({parameters, Optimizer(parameters, optimizer), Schedule(rate)});
}

double Fit::epoch(std::int64_t number, std::int64_t rows, const Loss& loss) {
  const std::vector<std::int32_t> order = shuffled(rows, settings_.seed, number, settings_.stream);
  Tensor total = zeros(groups_.front().parameters.flat().backend(), {});
  const std::int64_t last = rows % settings_.batch, used = last < settings_.min_rows ? rows - last : rows;
  for (std::int64_t begin = 0, step = 0; begin < used; begin += settings_.batch, ++step) {
    const std::int64_t count = std::min(settings_.batch, rows - begin);
    const Tensor mean = loss({order.begin() + begin, order.begin() + begin + count});
    backward(mean);
    for (Group& group : groups_) {
      const std::int64_t steps = group.rate.settings().steps_per_epoch;
      group.optimizer.step(group.rate.at(number * steps + std::min(step, steps - 1)));
    }
    total = total + static_cast<double>(count) / static_cast<double>(used) * mean.detached();
  }
  return total.item();
}

/// Computes the gradients of all groups in one pass.
void Fit::backward(const Tensor& loss) const {
  Tensors parameters;
  GradOptions options;
  for (const Group& group : groups_) {
    const Tensors &own = group.parameters.tensors(), &places = group.parameters.gradient_places();
    parameters.insert(parameters.end(), own.begin(), own.end());
    options.places.insert(options.places.end(), places.begin(), places.end());
  }
  const Tensors gradients = grad({loss}, parameters, options);
  auto at = gradients.begin();
  for (const Group& group : groups_) {
    const auto end = at + static_cast<std::ptrdiff_t>(group.parameters.count());
    group.parameters.gather_gradients({at, end});
    at = end;
  }
}

}  // namespace vergence
