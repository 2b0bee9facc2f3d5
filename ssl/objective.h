// An objective: what one training step is. A new one is a file in ssl/objectives (ssl/objective_list.h) and a recipe;
// docs/adding_an_objective.md walks through one.
//
// The base class holds what all two-view objectives share: the encoder, its running statistics, the optimizer and the
// one encoder call for both views. A derived class adds heads, says what its loss is, and hands everything that is to
// be trained to `train` at the end of its constructor. One that is built on a base method derives from BasedObjective
// (ssl/based_objective.h).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/loading/batch.h"
#include "engine/optimizer.h"
#include "engine/parameters.h"
#include "models/encoder.h"
#include "models/heads.h"
#include "ssl/options/options.h"
#include "ssl/step.h"

namespace vergence {

/// What an objective is made from.
struct ObjectiveSetup {
  const Options& options;  // the objective's own switches, and the optimizer's
  EncoderSettings encoder;
  Backend& backend;
  DType activations = DType::f32;  // of the encoder
  DType weights = DType::f32;      // f64: gradient checks

  Init init() const { return {backend, static_cast<std::uint64_t>(options.seed), weights}; }
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

/// Images to look at, [rows x columns, H, W, C], normalized as the views are, row by row.
struct Pictures {
  Tensor images;
  std::int64_t columns = 1;
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
  /// The device's part: forward, gradient, optimizer, whatever follows it. It depends on the device's memory alone and
  /// never waits for results, so that it can be recorded once and repeated (ssl/steps/runner.h).
  virtual Step run(const Views& views) = 0;
  /// Which of several kinds of step this one is, where not all do the same work; each kind is recorded apart. `prepare`
  /// has run.
  virtual int variant() const { return 0; }
  /// Whether `Views::plain` is needed.
  virtual bool needs_plain() const { return false; }
  /// Whether `Views::fresh` is needed, and of which images.
  virtual FreshViews fresh_views() const { return FreshViews::none; }
  /// Derived classes with more than the base's state append to the base's list.
  virtual ObjectiveState state();
  /// Of one step over `images` images. The base counts encoder and heads, forward and twice as much backward.
  virtual StepCost cost(std::int64_t images) const;

  /// Normalized images [N,H,W,C] -> features [N, dim] by the running statistics. Nothing is recorded or updated.
  Tensor features(const Tensor& images);
  Encoder& encoder() { return encoder_; }
  Statistics& statistics() { return statistics_; }

  /// A factor per feature, [dim], that may be applied when features are compared: saved beside the encoder as
  /// mask.safetensors, and kNN is also reported with it. None for most.
  virtual Tensor feature_mask() const { return {}; }
  /// What the user should hear of a logged step's parts: one line, nothing where all is well. `step`: steps done.
  virtual std::string warning(const PartValues&, std::int64_t /*step*/) const { return {}; }
  /// What the run folder should show of these normalized images [N, H, W, C] after an evaluation; mostly nothing.
  virtual Pictures pictures(const Tensor&) { return {}; }
  /// From how many batches of un-augmented training images the encoder's running statistics are to be estimated anew
  /// after the last step; 0: they stay as they are.
  virtual std::int64_t recalibration_batches() const { return 0; }

 protected:
  /// Encoder, heads and whatever else becomes the trained parameters, in this order. Once, at the end of the
  /// constructor; everything stays where it is.
  void train(const std::vector<Mlp*>& heads, const std::vector<NamedTensor>& more = {});
  /// How the trained model's forward pass runs: statistics per view, running statistics updated.
  Pass pass();
  /// The same for heads: --joint-head-norm takes both views as one batch.
  Pass head_pass();
  /// Both views through the encoder in one call: [2N, dim].
  Tensor encode(const Views& views) { return encoder_(views.both, pass()); }
  /// The gradient of `loss`, one optimizer step, `after_update`, and what is to be reported.
  Step update(const Tensor& loss, const Parts& parts = {});
  /// What follows the optimizer's step: moving averages.
  virtual void after_update() {}
  /// What `f` returns while `values`, in the order of the trained parameters, stand in their place. With leaves, or
  /// values with a history, that is the forward pass as a function of the weights.
  Tensor with_parameters(const Tensors& values, const std::function<Tensor()>& f);

  /// Of a forward pass of the trained encoder over so many images.
  Cost encoder_cost(std::int64_t images) const;

  Init init() const { return {backend_, seed_, weights_}; }
  Backend& backend() const { return backend_; }

  Encoder encoder_;
  Statistics statistics_;
  ParameterSet parameters_;  // names: "encoder.conv1.weight", …, "projector.0.weight", …
  std::optional<Optimizer> optimizer_;

 private:
  Backend& backend_;
  std::uint64_t seed_;
  DType weights_, activations_;
  bool joint_head_norm_, recompute_;
  OptimizerSettings optimizer_settings_;
  std::vector<Mlp*> heads_;
  std::vector<Tensor*> trained_;  // the models' tensors, in the order of parameters_
};

/// The options' optimizer.
OptimizerSettings optimizer_settings(const Options& options);
/// The options' encoder, for images of `image_size` and so many channels.
EncoderSettings encoder_settings(const Options& options, std::int64_t image_size, std::int64_t channels = 3);

/// The objective that `setup.options` name; throws UsageError naming those there are.
std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup);

}  // namespace vergence
