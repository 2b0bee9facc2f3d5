// An objective defines one training step. To add one, write a file in ssl/objectives: docs/adding_an_objective.md.
// The base class has what all two-view objectives share: the encoder, its running statistics, the optimizer and the one
// encoder call for both views. A derived class adds heads and the loss, and passes everything it trains to
// `set_trained` at the end of its constructor. Objectives on a base method derive from MethodObjective
// (ssl/method_objective.h).
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
#include "engine/ranks.h"
#include "models/encoder.h"
#include "models/heads.h"
#include "ssl/options/options.h"
#include "ssl/step.h"

namespace vergence {

struct TrainedEncoder;

/// Everything needed to make an objective.
struct ObjectiveSetup {
  const Options& options;  // of the objective and the optimizer
  EncoderSettings encoder;
  Backend& backend;
  DType activations = DType::f32;           // of the encoder
  DType weights = DType::f32;               // f64 only for gradient checks
  const TrainedEncoder* initial = nullptr;  // the encoder to start from; null: one with random weights
  Ranks ranks = {};                         // that share the batch, each with an equal part of its images
  bool begun = false;  // resumes a run; options that only earlier versions accepted are then allowed

  Init init() const { return {backend, static_cast<std::uint64_t>(options.seed), weights}; }
};

/// Everything of an objective that a checkpoint stores: named pointers to the live values.
struct ObjectiveState {
  std::vector<std::pair<std::string, ParameterSet>> parameters;
  std::vector<std::pair<std::string, Statistics*>> statistics;
  std::vector<std::pair<std::string, Optimizer*>> optimizers;  // each belongs to the parameters of the same name
};

/// The cost of one step.
struct StepCost {
  std::int64_t encoder_parameters = 0, parameters = 0;  // parameters: all stored ones
  double flops = 0;                                     // a step's mean: multiply-adds times two, both directions
  std::int64_t bytes = 0;                               // estimate: parameters, gradient, state, activations
  std::int64_t shared_bytes = 0;                        // the part of bytes that each of several ranks needs in full
  double occasional = 0;                                // the part of flops of steps of a kind above 0
};

/// Images to look at, [rows x columns, H, W, C], row by row, normalized like the views.
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
  /// The host's part of a step: uploads what changes from step to step, such as the learning rate. Derived classes may
  /// extend it.
  virtual void prepare(const StepContext& context);
  /// The device's part: forward, backward, optimizer and what follows. It uses only the device's memory and never waits
  /// for results, so it can be recorded once and replayed (ssl/steps/runner.h).
  virtual Step run(const Views& views) = 0;
  /// The kind of this step, if not all steps do the same work; each kind has its own recording. Called after `prepare`.
  virtual int step_kind() const { return 0; }
  /// Whether it needs `Views::plain`.
  virtual bool needs_plain() const { return false; }
  /// Whether it needs `Views::fresh`, and of which images.
  virtual FreshViews fresh_views() const { return FreshViews::none; }
  /// Derived classes with more state append to the base's list.
  virtual ObjectiveState state();
  /// The cost of one step over `images` images. The base counts encoder and heads: forward, and backward as twice that.
  virtual StepCost cost(std::int64_t images) const;

  /// Normalized images [N,H,W,C] -> features [N, dim] by the running statistics, without recording or updating
  /// anything.
  Tensor features(const Tensor& images);
  Encoder& encoder() { return encoder_; }
  const Encoder& encoder() const { return encoder_; }
  Statistics& statistics() { return statistics_; }

  /// The L2 norm of the last step's gradient of encoder and heads, rank 0.
  Tensor gradient_norm() const;

  /// A factor per feature, [dim], for comparing features: saved beside the encoder as mask.safetensors and used for a
  /// second kNN figure. Most objectives have none.
  virtual Tensor feature_mask() const { return {}; }
  /// A one-line warning about a logged step's parts; empty if all is well. `step`: steps done.
  virtual std::string warning(const PartValues&, std::int64_t /*step*/) const { return {}; }
  /// Pictures for the run folder from these normalized images [N, H, W, C], after an evaluation; most have none.
  virtual Pictures pictures(const Tensor&) { return {}; }
  /// How many batches of un-augmented training images re-estimate the encoder's running statistics after the last step;
  /// 0: keep the statistics.
  virtual std::int64_t recalibration_batches() const { return 0; }

 protected:
  /// Makes encoder, heads and `more`, in this order, the trained parameters. Call once, at the end of the constructor;
  /// none of them may move afterwards.
  void set_trained(const std::vector<Mlp*>& heads, const std::vector<NamedTensor>& more = {});
  /// The trained model's forward pass: statistics per view, updates running statistics.
  ForwardMode pass();
  /// The same for heads: with --joint-head-norm both views are one batch.
  ForwardMode head_pass();
  /// Both views through the encoder in one call, or with --micro-batch part by part: [2N, dim].
  Tensor encode(const Views& views) { return encoder_(views.both, pass()); }
  /// Computes the gradient of `loss`, that of the whole batch, takes an optimizer step, calls `after_update` and
  /// returns the report.
  Step update(const Tensor& loss, const Parts& parts = {});
  /// Runs after the optimizer's step: moving averages.
  virtual void after_update() {}
  /// Returns `f()` with `values` in place of the trained parameters, in their order. With leaves, or values with a
  /// history, this makes the forward pass a function of the weights.
  Tensor with_parameters(const Tensors& values, const std::function<Tensor()>& f);

  /// The cost of a forward pass of the trained encoder over `images` images; the bytes are those kept at a time.
  Cost encoder_cost(std::int64_t images) const;
  /// The bytes that the heads' forward passes over `images` images keep.
  std::int64_t head_bytes(std::int64_t images) const;
  /// Of `images` images of both views, those whose activations are kept at a time; fewer with --micro-batch.
  std::int64_t images_at_a_time(std::int64_t images) const;

  Init init() const { return {backend_, seed_, weights_}; }
  Backend& backend() const { return backend_; }
  const Ranks& ranks() const { return ranks_; }

  Encoder encoder_;
  Statistics statistics_;
  ParameterSet parameters_;  // names: "encoder.conv1.weight", …, "projector.0.weight", …
  std::optional<Optimizer> optimizer_;

 private:
  Backend& backend_;
  Ranks ranks_;
  std::uint64_t seed_;
  DType weights_, activations_;
  bool joint_head_norm_;
  Recompute recompute_;
  std::int64_t micro_batch_;
  OptimizerSettings optimizer_settings_;
  std::vector<Mlp*> heads_;
  std::vector<Tensor*> trained_;  // the models' tensors, in the order of parameters_
};

/// The options' optimizer.
OptimizerSettings optimizer_settings(const Options& options);
/// The options' encoder, for images of this size and number of channels.
EncoderSettings encoder_settings(const Options& options, std::int64_t image_size, std::int64_t channels = 3);

/// The objective of `setup.options`; for an unknown name throws UsageError listing all.
std::unique_ptr<Objective> make_objective(const ObjectiveSetup& setup);

}  // namespace vergence
