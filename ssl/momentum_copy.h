// A copy of the encoder, and of heads if wanted, that follows the trained ones slowly: BYOL's target network (Grill et
// al., NeurIPS 2020), a prior that needs no labels. It normalizes by the statistics of the batch and has no running
// ones.
#pragma once

#include <vector>

#include "engine/parameters.h"
#include "models/encoder.h"
#include "models/heads.h"
#include "ssl/step.h"
#include "ssl/step_value.h"

namespace vergence {

/// The share of the copy that stays in a step: from `first` to `last` along half a cosine over the schedule.
struct MomentumSchedule {
  double first = 0.99, last = 1;

  double at(const StepContext& context) const;
};

class MomentumCopy {
 public:
  /// Copies the values as they are now, for passes with such activations. The heads must be the first trained ones
  /// behind the encoder, in that order.
  MomentumCopy(const Encoder& encoder, const std::vector<const Mlp*>& heads, const MomentumSchedule& schedule,
               DType activations);
  MomentumCopy(const MomentumCopy&) = delete;  // the parameter set points at the models in here
  MomentumCopy& operator=(const MomentumCopy&) = delete;

  /// The host's part of a step.
  void prepare(const StepContext& context) { keep_.set(schedule_.at(context)); }
  /// copy = keep copy + (1 - keep) trained, after the optimizer's step.
  void follow(const ParameterSet& trained) { ema_update(parameters_, trained, keep_.tensor()); }

  /// Images -> features, constants. Of `pass` all but the running statistics counts.
  Tensor features(const Tensor& images, Pass pass) const;
  /// What head number `index` makes of features.
  Tensor head(std::size_t index, const Tensor& features, Pass pass) const;

  const ParameterSet& parameters() const { return parameters_; }
  /// Of one forward pass over `images` images: multiply-adds times two.
  double flops(std::int64_t images) const;

 private:
  Encoder encoder_;
  std::vector<Mlp> heads_;
  MomentumSchedule schedule_;
  ParameterSet parameters_;
  StepValue keep_;
};

}  // namespace vergence
