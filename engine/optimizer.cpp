#include "engine/optimizer.h"

#include <cmath>

namespace vergence {

namespace {

void check_settings(const OptimizerSettings& s) {
  auto fraction = [](double value, const char* name) {
    require_usage(value >= 0 && value < 1, "optimizer: ", name, " must be in [0, 1), got ", value);
  };
  fraction(s.momentum, "momentum");
  fraction(s.beta1, "beta1");
  fraction(s.beta2, "beta2");
  require_usage(std::isfinite(s.weight_decay) && s.weight_decay >= 0,
                "optimizer: weight decay must be finite and not negative, got ", s.weight_decay);
  require_usage(std::isfinite(s.eta) && s.eta > 0, "optimizer: eta must be finite and positive, got ", s.eta);
  require_usage(std::isfinite(s.epsilon) && s.epsilon >= 0, "optimizer: epsilon must be finite and not negative, got ",
                s.epsilon);
  require_usage(!s.nesterov || s.momentum > 0, "optimizer: Nesterov needs a momentum above 0");
}

}  // namespace

Optimizer::Optimizer(const ParameterSet& parameters, const OptimizerSettings& settings)
    : parameters_(parameters), settings_(settings), segments_(parameters.segments()) {
  check_settings(settings);
  require(parameters.gradient().data != nullptr, "optimizer: the parameters are constants");
  const bool lars = settings.kind == OptimizerKind::lars;
  if (!settings.exclude_vectors.value_or(lars))
    for (Segment& segment : segments_) segment.adapt = true;
  for (const Segment& segment : segments_) (segment.adapt ? decayed_ : undecayed_).push_back(segment);
  const bool one_moment = lars || settings.kind == OptimizerKind::sgd;
  const std::vector<std::string> names =
      one_moment ? std::vector<std::string>{"momentum"} : std::vector<std::string>{"first_moment", "second_moment"};
  for (const std::string& name : names) state_.emplace_back(name, zeros_like(parameters.flat()));
  scalars_ = zeros(parameters.flat().backend(), {3}, DType::f64);
}

const Tensor& Optimizer::state(const std::string& name) const {
  for (const auto& [own, tensor] : state_)
    if (own == name) return tensor;
  throw Error(join("optimizer: there is no state '", name, "'"));
}

void Optimizer::step(double lr) {
  prepare(lr);
  apply();
}

void Optimizer::prepare(double lr) {
  require(std::isfinite(lr), "optimizer: the learning rate is not finite");
  ++steps_;
  const auto step = static_cast<double>(steps_);
  const double values[3] = {lr, 1 - std::pow(settings_.beta1, step), 1 - std::pow(settings_.beta2, step)};
  scalars_.backend().upload(scalars_.data->data(), values, sizeof values);
}

void Optimizer::apply() {
  switch (settings_.kind) {
    case OptimizerKind::sgd:
      apply_sgd(decayed_, settings_.weight_decay);
      apply_sgd(undecayed_, 0);
      break;
    case OptimizerKind::lars:
      apply_lars();
      break;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      apply_adam(decayed_, settings_.weight_decay);
      apply_adam(undecayed_, 0);
      break;
  }
}

void Optimizer::apply_sgd(const std::vector<Segment>& segments, double weight_decay) {
  if (segments.empty()) return;
  const SgdSettings s{.momentum = settings_.momentum, .weight_decay = weight_decay, .nesterov = settings_.nesterov};
  const Tensor& flat = parameters_.flat();
  flat.backend().sgd(s, segments, scalars_.array(), parameters_.gradient().array(), flat.array(),
                     state_[0].second.array(), flat.rounded_array());
}

void Optimizer::apply_lars() {
  const LarsSettings s{.momentum = settings_.momentum,
                       .weight_decay = settings_.weight_decay,
                       .eta = settings_.eta,
                       .epsilon = settings_.epsilon,
                       .clip = settings_.clip,
                       .joint_norm = settings_.joint_norm};
  const Tensor& flat = parameters_.flat();
  flat.backend().lars(s, segments_, scalars_.array(), parameters_.gradient().array(), flat.array(),
                      state_[0].second.array(), flat.rounded_array());
}

void Optimizer::apply_adam(const std::vector<Segment>& segments, double weight_decay) {
  if (segments.empty()) return;
  const AdamSettings s{.beta1 = settings_.beta1,
                       .beta2 = settings_.beta2,
                       .epsilon = settings_.epsilon,
                       .weight_decay = weight_decay,
                       .decoupled = settings_.kind == OptimizerKind::adamw};
  const Tensor& flat = parameters_.flat();
  flat.backend().adam(s, segments, scalars_.array(), parameters_.gradient().array(), flat.array(),
                      state_[0].second.array(), state_[1].second.array(), flat.rounded_array());
}

}  // namespace vergence
