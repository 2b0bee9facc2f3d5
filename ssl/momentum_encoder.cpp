#include "ssl/momentum_encoder.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vergence {

double MomentumSchedule::at(const StepContext& context) const {
  const double done = static_cast<double>(context.step - context.first_step) / static_cast<double>(context.steps);
  const double rest = (1 + std::cos(std::numbers::pi * std::min(1.0, done))) / 2;
  return last - (last - first) * rest;
}

MomentumEncoder::MomentumEncoder(const Encoder& encoder, const std::vector<const Mlp*>& heads,
                                 const MomentumSchedule& schedule, DType activations)
    : encoder_(encoder), schedule_(schedule), momentum_(encoder.backend(), DType::f64) {
  for (const Mlp* head : heads) heads_.push_back(*head);
  std::vector<NamedTensor> copied = vergence::parameters_of(encoder_, "encoder.");
  for (Mlp& head : heads_)
    for (const NamedTensor& parameter : vergence::parameters_of(head)) copied.push_back(parameter);
  parameters_ = ParameterSet(copied, Role::constant, activations);
}

Tensor MomentumEncoder::features(const Tensor& images, ForwardMode pass) const {
  pass.running = nullptr;
  return encoder_(images, pass);
}

Tensor MomentumEncoder::head(std::size_t index, const Tensor& features, ForwardMode pass) const {
  pass.running = nullptr;
  return heads_[index](features, pass);
}

double MomentumEncoder::flops(std::int64_t images) const {
  double flops = cost_of(encoder_.settings(), images).forward_flops;
  for (const Mlp& head : heads_) flops += head.flops(images);
  return flops;
}

}  // namespace vergence
