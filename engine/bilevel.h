// The gradient of an outer loss through one inner optimizer step, with respect to the inner loss's meta parameters.
//
//   theta'(m) = theta - lr u,   u = momentum history + weight_decay theta + grad_theta L(theta, m)
//   d/dm O(theta'(m), m) = dO/dm at theta'  -  lr d/dm <grad_theta L(theta, m), v>,   v = grad_theta' O(theta', m)
//
// History and weight decay do not depend on m, so a single mixed product remains. The exact form differentiates the
// recorded backward pass with respect to m. The finite-difference form computes the mixed product as the central
// difference of grad_m L over a distance of `radius` along v, as do DARTS (Liu, Simonyan, Yang: "DARTS: differentiable
// architecture search", ICLR 2019) and the code published by MetaMask's authors. With ReLU heads the two forms differ
// a lot: a unit that switches within the distance adds its jump, divided by that distance.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/ranks.h"
#include "engine/tensor.h"
#include "engine/text/enum_words.h"

namespace vergence {

enum class SecondOrder { exact, finite_difference, none };

inline constexpr Word<SecondOrder> second_order_words[]{
    {"exact", SecondOrder::exact}, {"finite_difference", SecondOrder::finite_difference}, {"none", SecondOrder::none}};

/// A loss (one element) of the parameters and meta parameters, both given as values in the caller's order. It is called
/// more than once, with weights other than the model's, and must have no effects, not even on running statistics.
using BilevelLoss = std::function<Tensor(const Tensors& parameters, const Tensors& meta)>;

/// The inner step. `lr`: one element, of the parameters' type, on their device, so that a replayed step sees a changed
/// rate. `history`: momentum buffers, one per parameter, or empty for none.
struct InnerStep {
  Tensor lr;
  double momentum = 0, weight_decay = 0;
  Tensors history = {};
};

struct BilevelOptions {
  SecondOrder form = SecondOrder::exact;
  double radius = 0.01;  // finite differences: the step length along v in each direction
  bool compare = false;  // also compute the other estimator of the mixed product, for the log
  Ranks ranks = {};      // that share the batch; losses and results are those of the whole batch
};

/// Both estimators of the mixed product d/dm <grad_theta L, v>, over all meta parameters together. One element each.
struct EstimatorComparison {
  Tensor exact_norm, finite_difference_norm, cosine;
};

struct MetaGradient {
  Tensors gradient;    // of the outer loss, one per meta parameter; constants
  Tensors direct;      // its first-order part: dO/dm at theta'
  Tensors second;      // the rest, which may be far smaller; empty without second order
  Tensor inner_loss;   // L(theta, m)
  Tensor outer_loss;   // O(theta', m)
  Tensors parameters;  // theta', constants
  std::optional<EstimatorComparison> comparison;
};

/// A gradient that the caller has computed: of `loss` = inner(parameters, meta) with respect to `parameters`. Both
/// inputs are leaves. The exact form and `compare` need it to be recorded (GradOptions::create).
struct InnerGradient {
  Tensor loss;
  Tensors parameters, meta;
  Tensors gradient;
};

/// The gradient of outer(theta'(meta), meta) with respect to `meta`, as `options.form` says (none: only the direct
/// part). Uses only the values of `parameters` and `meta`, not their history. Does not wait for the device. Throws
/// Error for missing parameters or a wrong number of momentum buffers, UsageError for a radius that is not positive.
MetaGradient meta_gradient(const BilevelLoss& inner, const BilevelLoss& outer, const Tensors& parameters,
                           const Tensors& meta, const InnerStep& step, const BilevelOptions& options = {});

/// The same with a given inner gradient. Calls `inner` only for finite differences.
MetaGradient meta_gradient(const InnerGradient& given, const BilevelLoss& inner, const BilevelLoss& outer,
                           const InnerStep& step, const BilevelOptions& options = {});

}  // namespace vergence
