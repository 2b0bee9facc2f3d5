// Runs steps of an objective on a device, eager or recorded, and compares the results.
#pragma once

#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "datasets/loading/batch_source.h"
#include "ssl/steps/runner.h"
#include "ssl/steps/setup.h"

namespace vergence::test {

struct Outcome {
  std::vector<double> losses, parameters, running;
  std::vector<std::int64_t> batches;  // counted by each layer's running statistics
  std::vector<bool> recorded;         // for each step: whether it was recorded or replayed
  std::string refusal;
};

/// Runs one step for each of `contexts`, all on the same views.
inline Outcome run_steps(Objective& objective, Backend& device, const Views& views, bool record,
                         const std::vector<StepContext>& contexts) {
  StepRunner runner(objective, device, record);
  Outcome run;
  for (const StepContext& context : contexts) {
    run.losses.push_back(runner.run([&] { return views; }, context).loss.item());
    run.recorded.push_back(runner.recorded());
  }
  for (const auto& [name, set] : objective.state().parameters)
    for (const double value : set.flat().values()) run.parameters.push_back(value);
  for (const auto& [name, layer] : objective.statistics().layers) {
    run.batches.push_back(layer.batches);
    for (const Tensor& tensor : {layer.mean, layer.variance})
      for (const double value : tensor.values()) run.running.push_back(value);
  }
  run.refusal = runner.refusal();
  return run;
}

/// `steps` contexts at one learning rate.
inline std::vector<StepContext> steps_at(double lr, std::int64_t steps, std::int64_t images) {
  std::vector<StepContext> contexts;
  for (std::int64_t step = 0; step < steps; ++step)
    contexts.push_back({.lr = lr, .step = step, .steps = steps, .images = images});
  return contexts;
}

inline void expect_same_bits(const Outcome& recorded, const Outcome& eager, const std::string& what = "") {
  EXPECT_EQ(recorded.losses, eager.losses) << what;
  EXPECT_EQ(recorded.parameters, eager.parameters) << what;
  EXPECT_EQ(recorded.batches, eager.batches) << what;
  EXPECT_EQ(recorded.running, eager.running) << what;
}

/// Compares the losses of two devices in bf16. In such small networks rounding grows with each step: over 26 seeds to
/// at most 0.002 of the first loss, 0.01 of the second, 0.02 of the third and 0.1 of the fifth. Compares three.
inline void expect_bf16_losses(const std::vector<double>& losses, const std::vector<double>& expected) {
  ASSERT_GE(losses.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(losses[i], expected[i], (i == 0 ? 1e-2 : 5e-2) * std::abs(expected[i])) << "bf16, step " << i;
}

/// The losses of `steps` steps from a data set's bytes: views, model, optimizer. The views have the options' precision.
inline std::vector<double> losses_from_images(const Options& options, Backend& device, bool record, int steps) {
  const Dataset dataset = open_dataset(dataset_settings(options), "train");
  const auto objective = make_objective(objective_setup(options, options.image_size, device));
  const DType activations = options.precision == Precision::bf16 ? DType::bf16 : DType::f32;
  const auto batches =
      make_batch_source({dataset, loader_settings(options, dataset, *objective, 0), device, activations});
  StepRunner runner(*objective, device, record);
  std::vector<double> losses;
  for (const StepContext& context : steps_at(1e-3, steps, options.batch)) {
    batches->prepare(context.step);
    losses.push_back(runner.run([&] { return batches->make(); }, context).loss.item());
  }
  EXPECT_EQ(runner.recorded(), record) << runner.refusal();
  return losses;
}

}  // namespace vergence::test
