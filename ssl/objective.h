// An objective: what one training step is. A new one is a file with a class derived from Objective, one line in the
// table of objective.cpp, its switches in ssl/options.h, and a recipe.
//
// The base class holds what all two-view objectives share: the encoder, its running statistics, the optimiser and the
// one encoder call for both views. A derived class adds heads, says what its loss is, and hands everything that is to
// be trained to `train` at the end of its constructor:
//
//   class SimClr final : public Objective {
//     explicit SimClr(const ObjectiveSetup& setup) : Objective(setup), projector_(…) { train({&projector_}); }
//     Step run(const Views& views) override {
//       return update(nt_xent(projector_(encode(views), pass()), temperature_));
//     }
//   };
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/optimizer.h"
#include "engine/parameters.h"
#include "models/heads.h"
#include "models/resnet.h"
#include "ssl/options.h"

namespace vergence {

/// One batch of N images as the model sees it.
struct Views {
  Tensor both;   // [2N, H, W, 3]: the first view of every image, then the second
  Tensor plain;  // [N, H, W, 3]: the images un-augmented, normalised; none unless the objective asks for it

  std::int64_t images() const { return both.shape[0] / 2; }
};

/// Where in the run a step stands.
struct StepContext {
  double lr = 0;           // learning rate of this step
  std::int64_t step = 0;   // steps done before this one
  std::int64_t steps = 1;  // of the whole schedule
};

/// What a step reports: rank-0 constants, still on the device.
struct Step {
  Tensor loss;
  std::vector<std::pair<std::string, Tensor>> parts;  // summands or other quantities worth a log line, by name
};

/// What an objective is made from.
struct ObjectiveSetup {
  const Options& options;  // the objective's own switches, and the optimiser's
  ResNetSettings encoder;
  Backend& backend;
  DType activations = DType::f32;  // of the encoder
  DType weights = DType::f32;      // f64: gradient checks
};

/// Everything that a checkpoint keeps of an objective: handles to live values, each under a name of its own.
struct ObjectiveState {
  std::vector<std::pair<std::string, ParameterSet>> parameters;
  std::vector<std::pair<std::string, Statistics*>> statistics;
  std::vector<std::pair<std::string, Optimizer*>> optimizers;  // each belongs to the parameters of the same name
};

/// What one step costs.
struct StepCost {
  std::int64_t encoder_parameters = 0, parameters = 0;  // parameters: of everything that is stored
  double flops = 0;                                     // multiply-adds times two, forward and backward
  std::int64_t bytes = 0;                               // estimate: parameters, gradient, state, activations
};

class Objective {
 public:
  explicit Objective(const ObjectiveSetup& setup);
  virtual ~Objective() = default;
  Objective(const Objective&) = delete;  // the parameter set points at the models in here
  Objective& operator=(const Objective&) = delete;

  /// One whole training step: `prepare`, then `run`.
  Step step(const Views& views, const StepContext& context);
  /// The host's part of a step: puts what changes from step to step (the learning rate) into the device's memory.
  /// Derived classes with more of it extend the base's.
  virtual void prepare(const StepContext& context);
  /// The device's part: forward, gradient, optimiser, whatever follows it. It depends on the device's memory alone and
  /// never waits for results, so that it can be recorded once and repeated (ssl/step_runner.h).
  virtual Step run(const Views& views) = 0;
  /// Whether `Views::plain` is needed.
  virtual bool needs_plain() const { return false; }
  /// Derived classes with more than the base's state append to the base's list.
  virtual ObjectiveState state();
  /// Of one step over `images` images. The base counts encoder and heads, forward and twice as much backward.
  virtual StepCost cost(std::int64_t images) const;

  /// Normalised images [N,H,W,3] -> features [N, dim] by the running statistics. Nothing is recorded or updated.
  Tensor features(const Tensor& images);
  ResNet& encoder() { return encoder_; }
  Statistics& statistics() { return statistics_; }

 protected:
  /// Encoder and heads become the trained parameters, in this order. Once, at the end of the constructor.
  void train(const std::vector<Mlp*>& heads);
  /// How the trained model's forward pass runs: statistics per view, running statistics updated.
  Pass pass();
  /// Both views through the encoder in one call: [2N, dim].
  Tensor encode(const Views& views) { return encoder_(views.both, pass()); }
  /// The gradient of `loss`, one optimiser step, and what is to be reported.
  Step update(const Tensor& loss, const std::vector<std::pair<std::string, Tensor>>& parts = {});

  Init init() const { return {backend_, seed_, weights_}; }
  Backend& backend() const { return backend_; }

  ResNet encoder_;
  Statistics statistics_;
  ParameterSet parameters_;  // names: "encoder.conv1.weight", …, "projector.0.weight", …
  std::optional<Optimizer> optimizer_;

 private:
  Backend& backend_;
  std::uint64_t seed_;
  DType weights_, activations_;
  OptimizerSettings optimizer_settings_;
  std::vector<Mlp*> heads_;
};

/// The options' optimiser.
OptimizerSettings optimizer_settings(const Options& options);
/// The options' encoder, for images of `image_size`.
ResNetSettings encoder_settings(const Options& options, std::int64_t image_size);

/// The objectives there are, by name.
const std::vector<std::string>& objective_names();
/// The objective that `setup.options` name; throws UsageError naming those there are.
std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup);

// ---- the table's entries, each defined in the file of its name
std::unique_ptr<Objective> make_simclr(const ObjectiveSetup& setup);
std::unique_ptr<Objective> make_barlow_twins(const ObjectiveSetup& setup);
std::unique_ptr<Objective> make_byol(const ObjectiveSetup& setup);

}  // namespace vergence
