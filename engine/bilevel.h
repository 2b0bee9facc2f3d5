// The gradient of an outer loss through one inner optimizer step, with respect to the meta parameters of the inner
// loss.
//
//   theta'(m) = theta - lr u,   u = momentum history + weight_decay theta + grad_theta L(theta, m)
//   d/dm O(theta'(m), m) = dO/dm at theta'  -  lr d/dm <grad_theta L(theta, m), v>,   v = grad_theta' O(theta', m)
//
// History and weight decay do not depend on m, so a single mixed product remains. The exact form differentiates the
// recorded backward pass, pruned to m. The finite-difference form is that of DARTS (Liu, Simonyan, Yang: "DARTS:
// differentiable architecture search", ICLR 2019), also used in the code published by MetaMask's authors: the mixed
// product as the central difference of grad_m L over a distance of `radius` along v. With ReLU heads the two differ a
// lot: a unit that switches within the distance adds its jump, divided by that distance.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/tensor.h"
#include "engine/text/enum_words.h"

namespace vergence {

enum class SecondOrder { exact, finite_difference, none };

inline constexpr Word<SecondOrder> second_order_words[]{
    {"exact", SecondOrder::exact}, {"finite_difference", SecondOrder::finite_difference}, {"none", SecondOrder::none}};

/// A loss (one element) of the parameters and the meta parameters, both as values in the caller's order. It must be
/// pure: it is called two or more times, with weights that are not the model's own. In particular, the caller decides
/// whether a call updates running statistics.
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
};

/// Both estimators of the mixed product d/dm <grad_theta L, v>, over all meta parameters together. One element each.
struct EstimatorComparison {
  Tensor exact_norm, finite_difference_norm, cosine;
};

struct MetaGradient {
  Tensors gradient;    // of the outer loss, one per meta parameter; constants
  Tensors direct;      // its first-order part: dO/dm at theta'
  Tensor inner_loss;   // L(theta, m)
  Tensor outer_loss;   // O(theta', m)
  Tensors parameters;  // theta', constants
  std::optional<EstimatorComparison> comparison;
};

/// An inner gradient that is already available: of `loss` = inner(parameters, meta), both leaves, with respect to the
/// parameters. Must be recorded (GradOptions::create) for the exact form or a comparison.
struct InnerGradient {
  Tensor loss;
  Tensors parameters, meta;
  Tensors gradient;
};

/// The gradient of outer(theta'(meta), meta) with respect to `meta`, as `options.form` says (none: only the direct
/// part). `parameters` and `meta` are read as values; any history is ignored. Does not wait for device values.
MetaGradient meta_gradient(const BilevelLoss& inner, const BilevelLoss& outer, const Tensors& parameters,
                           const Tensors& meta, const InnerStep& step, const BilevelOptions& options = {});

/// The same, reusing an inner gradient from another computation. Calls `inner` only for finite differences.
MetaGradient meta_gradient(const InnerGradient& given, const BilevelLoss& inner, const BilevelLoss& outer,
                           const InnerStep& step, const BilevelOptions& options = {});

}  // namespace vergence
