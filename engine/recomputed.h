// Activation checkpointing: backward passes compute results again instead of keeping their history. Chen, Xu, Zhang,
// Guestrin: "Training deep nets with sublinear memory cost", arXiv 1604.06174, here for derivatives of any order.
#pragma once

#include <functional>

#include "engine/tensor.h"

namespace vergence {

/// A pure function of tensors: the same results in every call, and no effects.
using TensorFunction = std::function<Tensors(const Tensors& inputs)>;

/// f(inputs), keeping only the inputs: a backward pass calls `f` again. A recorded backward pass (GradOptions::create)
/// is checkpointed in the same way. `f` must not use other tensors that have a history. `results`: f(inputs), if
/// already known.
Tensors recomputed(const TensorFunction& f, const Tensors& inputs, Tensors results = {});

}  // namespace vergence
