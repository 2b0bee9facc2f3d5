// A momentum copy of the encoder and, if wanted, of heads: BYOL's target network (Grill et al., NeurIPS 2020), or a
// prior without labels. Its batch norm uses the statistics of the batch; it keeps no running ones.
#pragma once

#include <vector>

#include "engine/parameters.h"
#include "models/encoder.h"
#include "models/heads.h"
#include "ssl/step.h"
#include "ssl/step_value.h"

namespace vergence {

/// The copy's momentum: from `first` to `last` along half a cosine over the schedule.
struct MomentumSchedule {
  double first = 0.99, last = 1;

  double at(const StepContext& context) const;
};

class MomentumEncoder {
 public:
  /// Copies the current weights; `activations` is the type of activations in its passes. `heads` must follow the
  /// encoder directly in the list of trained parameters, in this order.
  MomentumEncoder(const Encoder& encoder, const std::vector<const Mlp*>& heads, const MomentumSchedule& schedule,
                  DType activations);
  MomentumEncoder(const MomentumEncoder&) = delete;  // the parameter set points at the models in here
  MomentumEncoder& operator=(const MomentumEncoder&) = delete;

  /// The host's part of a step.
  void prepare(const StepContext& context) { momentum_.set(schedule_.at(context)); }
  /// copy = momentum * copy + (1 - momentum) * trained, after the optimizer's step.
  void follow(const ParameterSet& trained) { ema_update(parameters_, trained, momentum_.tensor()); }

  /// Images -> features, constants. Ignores the running statistics of `pass`.
  Tensor features(const Tensor& images, ForwardMode pass) const;
  /// Head number `index` applied to features.
  Tensor head(std::size_t index, const Tensor& features, ForwardMode pass) const;

  const ParameterSet& parameters() const { return parameters_; }
  /// FLOPs of one forward pass over `images` images: multiply-adds times two.
  double flops(std::int64_t images) const;

 private:
  Encoder encoder_;
  std::vector<Mlp> heads_;
  MomentumSchedule schedule_;
  ParameterSet parameters_;
  StepValue momentum_;
};

}  // namespace vergence
