// The gradient of an outer loss through one inner optimizer step, with respect to what steers the inner loss.
//
//   theta'(m) = theta - lr u,   u = momentum history + weight_decay theta + grad_theta L(theta, m)
//   d/dm O(theta'(m), m) = dO/dm at theta'  -  lr d/dm <grad_theta L(theta, m), v>,   v = grad_theta' O(theta', m)
//
// History and weight decay do not depend on m, so one mixed product is all there is. The exact form is the derivative
// of the recorded backward pass, pruned to m. The finite-difference form is that of DARTS (Liu, Simonyan, Yang: "DARTS:
// differentiable architecture search", ICLR 2019), which MetaMask's authors publish: the mixed product as the
// central difference of grad_m L over a distance of `radius` along v. With ReLU heads the two differ much: a unit that
// switches inside the distance adds its jump, divided by that distance.
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
/// pure: called two or more times, with weights that are not the model's own. In particular, whether a call updates
/// running statistics is for the caller to decide.
using BilevelLoss = std::function<Tensor(const Tensors& parameters, const Tensors& meta)>;

/// The inner step. `lr`: one element, of the parameters' type, on their device, so that a recorded step sees a changed
/// rate. `history`: momentum buffers, one per parameter, or empty for none.
struct InnerStep {
  Tensor lr;
  double momentum = 0, weight_decay = 0;
  Tensors history = {};
};

struct BilevelOptions {
  SecondOrder form = SecondOrder::exact;
  double radius = 0.01;  // finite differences: the length of the step along v to either side
  bool compare = false;  // also work out the other estimator of the mixed product, for the log
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

/// An inner gradient that is there already: of `loss` = inner(parameters, meta), both leaves, with respect to the
/// parameters; recorded (Grad::create) where the exact form or a comparison is asked for.
struct InnerGradient {
  Tensor loss;
  Tensors parameters, meta;
  Tensors gradient;
};

/// The gradient of outer(theta'(meta), meta) with respect to `meta`, by `options.form` (none: the direct part alone).
/// `parameters` and `meta` are read as values, history or not. No device value is waited for.
MetaGradient meta_gradient(const BilevelLoss& inner, const BilevelLoss& outer, const Tensors& parameters,
                           const Tensors& meta, const InnerStep& step, const BilevelOptions& options = {});

/// The same from an inner gradient that another computation has left behind. `inner` is called for finite differences
/// alone.
MetaGradient meta_gradient(const InnerGradient& given, const BilevelLoss& inner, const BilevelLoss& outer,
                           const InnerStep& step, const BilevelOptions& options = {});

}  // namespace vergence
