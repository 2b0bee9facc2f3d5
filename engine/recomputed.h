// Results whose history is not kept: backward passes compute it again from the inputs. Chen, Xu, Zhang, Guestrin:
// "Training deep nets with sublinear memory cost", arXiv 1604.06174, here for derivatives of any order.
#pragma once

#include <functional>

#include "engine/tensor.h"

namespace vergence {

/// A pure function of tensors: the same results in every call, and no effects.
using TensorFunction = std::function<Tensors(const Tensors& inputs)>;

/// f(inputs), of which only the inputs are kept. A backward pass calls `f` again, and one that is recorded
/// (GradOptions::create) keeps only its own inputs in turn. `f` must not use other tensors that have a history.
/// `results`: f(inputs), if already known.
Tensors recomputed(const TensorFunction& f, const Tensors& inputs, Tensors results = {});

}  // namespace vergence
