// The parts that all objectives share.
#include "ssl/objective.h"

#include <algorithm>

#include "engine/gradient_buckets.h"
#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "models/encoder_file.h"

namespace vergence {
namespace {

/// Replaces the models' tensors; its destructor restores them.
class Replaced {
 public:
  Replaced(const std::vector<Tensor*>& targets, const Tensors& values) : targets_(targets) {
    require(values.size() == targets.size(), "objective: ", values.size(), " values for ", targets.size(),
            " parameters");
    for (std::size_t i = 0; i < targets.size(); ++i) {
      kept_.push_back(*targets[i]);
      *targets[i] = values[i];
    }
  }
  ~Replaced() {
    for (std::size_t i = 0; i < targets_.size(); ++i) *targets_[i] = kept_[i];
  }
  Replaced(const Replaced&) = delete;
  Replaced& operator=(const Replaced&) = delete;

 private:
  const std::vector<Tensor*>& targets_;
  Tensors kept_;
};

}  // namespace

Objective::Objective(const ObjectiveSetup& setup)
    : encoder_(setup.initial ? setup.initial->encoder : make_encoder(setup.encoder, setup.init())),
      statistics_(setup.initial ? setup.initial->statistics : Statistics{}),
      backend_(setup.backend),
      ranks_(setup.ranks),
      seed_(static_cast<std::uint64_t>(setup.options.seed)),
      weights_(setup.weights),
      activations_(setup.activations),
      joint_head_norm_(setup.options.joint_head_norm),
      recompute_{setup.options.recompute, setup.options.recompute_blocks},
      micro_batch_(setup.options.micro_batch),
      optimizer_settings_(optimizer_settings(setup.options)) {}

void Objective::set_trained(const std::vector<Mlp*>& heads, const std::vector<NamedTensor>& more) {
  heads_ = heads;
  std::vector<NamedTensor> all = parameters_of(encoder_, "encoder.");
  for (Mlp* head : heads)
    for (const NamedTensor& parameter : parameters_of(*head)) all.push_back(parameter);
  all.insert(all.end(), more.begin(), more.end());
  parameters_ = ParameterSet(all, Role::trainable, activations_);
  for (const NamedTensor& parameter : all) trained_.push_back(parameter.tensor);
  optimizer_.emplace(parameters_, optimizer_settings_);
}

ForwardMode Objective::pass() {
  return {.groups = 2,
          .running = &statistics_,
          .activations = activations_,
          .ranks = ranks_.communicator,
          .recompute = recompute_,
          .micro_batch = micro_batch_};
}

ForwardMode Objective::head_pass() {
  ForwardMode heads = pass();
  if (joint_head_norm_) heads.groups = 1;
  return heads;
}

Tensor Objective::with_parameters(const Tensors& values, const std::function<Tensor()>& f) {
  const Replaced replaced(trained_, values);
  return f();
}

Step Objective::step(const Views& views, const StepContext& context) {
  prepare(context);
  return run(views);
}

void Objective::prepare(const StepContext& context) { optimizer_->prepare(context.lr); }

Step Objective::update(const Tensor& loss, const Parts& parts) {
  const Step step = Step::of(loss, parts);
  summed_backward(parameters_, loss, ranks_);
  optimizer_->apply();
  after_update();
  return step;
}

ObjectiveState Objective::state() {
  return {{{"model", parameters_}}, {{"statistics", &statistics_}}, {{"model", &*optimizer_}}};
}

Cost Objective::encoder_cost(std::int64_t images) const {
  const EncoderSettings& settings = encoder_.settings();
  Cost cost = cost_of(settings, images, activations_, recompute_);
  const std::int64_t most = images_at_a_time(images);
  if (most < images) {  // the images themselves are kept
    const std::int64_t values = images * settings.image_size * settings.image_size * settings.channels;
    cost.activation_bytes =
        cost_of(settings, most, activations_, recompute_).activation_bytes + values * size_of(activations_);
  }
  return cost;
}

std::int64_t Objective::head_bytes(std::int64_t images) const {
  std::int64_t values = 0;
  // Each layer keeps its input, and with batch norm also its output before it.
  for (const Mlp* head : heads_)
    for (const std::int64_t size : head->settings.sizes) values += 2 * images * size;
  return values * size_of(weights_);
}

std::int64_t Objective::images_at_a_time(std::int64_t images) const {
  return micro_batch_ > 0 ? std::min(images, 2 * micro_batch_) : images;
}

StepCost Objective::cost(std::int64_t images) const {
  const Cost encoder = encoder_cost(2 * images);
  StepCost cost{encoder.parameters, parameters_.size(), 3 * encoder.forward_flops, encoder.activation_bytes};
  for (const Mlp* head : heads_) cost.flops += 3 * head->flops(2 * images);
  cost.bytes += head_bytes(2 * images);
  const auto buffers = static_cast<std::int64_t>(2 + optimizer_->state().size());  // parameters, gradient, state
  cost.bytes += buffers * parameters_.flat().size() * size_of(weights_);
  return cost;
}

Tensor Objective::features(const Tensor& images) {
  return encoder_.constant()(images, {.training = false, .running = &statistics_, .activations = activations_});
}

Tensor Objective::gradient_norm() const {
  const Tensor& gradient = parameters_.gradient();
  return sqrt(dot(gradient, gradient));
}

OptimizerSettings optimizer_settings(const Options& options) {
  OptimizerSettings settings;
  settings.kind = options.optimizer;
  settings.momentum = options.momentum;
  settings.weight_decay = options.weight_decay;
  settings.nesterov = options.nesterov;
  settings.eta = options.lars.eta;
  settings.clip = options.lars.clip;
  settings.joint_norm = options.lars.joint_norm;
  settings.beta1 = options.adam.beta1;
  settings.beta2 = options.adam.beta2;
  settings.epsilon = settings.kind == OptimizerKind::lars ? options.lars.epsilon : options.adam.epsilon;
  settings.exclude_vectors = options.excludes_1d();
  return settings;
}

EncoderSettings encoder_settings(const Options& options, std::int64_t image_size, std::int64_t channels) {
  return {options.encoder, image_size, channels, options.components};
}

}  // namespace vergence
