#include "engine/optimizer.h"

#include <cmath>

namespace vergence {

OptimizerKind optimizer_kind(const std::string& name) {
  if (name == "sgd") return OptimizerKind::sgd;
  if (name == "lars") return OptimizerKind::lars;
  if (name == "adam") return OptimizerKind::adam;
  if (name == "adamw") return OptimizerKind::adamw;
  throw UsageError(join("optimizer: expected sgd, lars, adam or adamw, got '", name, "'"));
}

namespace {

void check(const OptimizerSettings& s) {
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
  check(settings);
  require(parameters.gradient().data != nullptr, "optimizer: the parameters are constants");
  const bool lars = settings.kind == OptimizerKind::lars;
  if (!settings.exclude_vectors.value_or(lars))
    for (Segment& segment : segments_) segment.adapt = true;
  for (const Segment& segment : segments_) (segment.adapt ? decayed_ : undecayed_).push_back(segment);
  const bool one_moment = lars || settings.kind == OptimizerKind::sgd;
  const std::vector<std::string> names =
      one_moment ? std::vector<std::string>{"momentum"} : std::vector<std::string>{"first_moment", "second_moment"};
  for (const std::string& name : names) state_.emplace_back(name, zeros_like(parameters.flat()));
}

const Tensor& Optimizer::state(const std::string& name) const {
  for (const auto& [own, tensor] : state_)
    if (own == name) return tensor;
  throw Error(join("optimizer: there is no state '", name, "'"));
}

void Optimizer::step(double lr) {
  require(std::isfinite(lr), "optimizer: the learning rate is not finite");
  switch (settings_.kind) {
    case OptimizerKind::sgd:
      step_sgd(lr, decayed_, settings_.weight_decay);
      step_sgd(lr, undecayed_, 0);
      break;
    case OptimizerKind::lars:
      step_lars(lr);
      break;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      step_adam(lr, decayed_, settings_.weight_decay);
      step_adam(lr, undecayed_, 0);
      break;
  }
  ++steps_;
}

void Optimizer::step_sgd(double lr, const std::vector<Segment>& segments, double weight_decay) {
  if (segments.empty()) return;
  SgdSettings s;
  s.lr = lr;
  s.momentum = settings_.momentum;
  s.weight_decay = weight_decay;
  s.nesterov = settings_.nesterov;
  s.first_step = steps_ == 0;
  const Tensor& flat = parameters_.flat();
  flat.backend().sgd(s, segments, parameters_.gradient().array(), flat.array(), state_[0].second.array());
}

void Optimizer::step_lars(double lr) {
  LarsSettings s;
  s.lr = lr;
  s.momentum = settings_.momentum;
  s.weight_decay = settings_.weight_decay;
  s.eta = settings_.eta;
  s.epsilon = settings_.epsilon;
  s.clip = settings_.clip;
  s.joint_norm = settings_.joint_norm;
  s.first_step = steps_ == 0;
  const Tensor& flat = parameters_.flat();
  flat.backend().lars(s, segments_, parameters_.gradient().array(), flat.array(), state_[0].second.array());
}

void Optimizer::step_adam(double lr, const std::vector<Segment>& segments, double weight_decay) {
  if (segments.empty()) return;
  AdamSettings s;
  s.lr = lr;
  s.beta1 = settings_.beta1;
  s.beta2 = settings_.beta2;
  s.epsilon = settings_.epsilon;
  s.weight_decay = weight_decay;
  s.decoupled = settings_.kind == OptimizerKind::adamw;
  s.step = steps_ + 1;
  const Tensor& flat = parameters_.flat();
  flat.backend().adam(s, segments, parameters_.gradient().array(), flat.array(), state_[0].second.array(),
                      state_[1].second.array());
}

}  // namespace vergence
