#include "engine/bilevel.h"

#include <cmath>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "engine/parameters.h"

namespace vergence {

namespace {

Tensors leaves(const Tensors& values) {
  Tensors result;
  for (const Tensor& value : values) result.push_back(leaf(value));
  return result;
}

Tensors detached(const Tensors& tensors) {
  Tensors result;
  for (const Tensor& tensor : tensors) result.push_back(tensor.detached());
  return result;
}

/// <a, b> over all tensors of both lists; one element.
Tensor inner_product(const Tensors& a, const Tensors& b) {
  Tensor total;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Tensor part = dot(a[i], b[i]);
    total = total ? total + part : part;
  }
  return total;
}

Tensor norm(const Tensors& a) { return sqrt(inner_product(a, a)); }

/// The learning rate as a rank-0 tensor, so that products keep the other factor's shape.
Tensor rate(const InnerStep& step) { return reshape(step.lr.detached(), {}); }

/// Copies of many tensors in one flat buffer, so that one kernel processes them all.
class Flat {
 public:
  explicit Flat(const Tensors& like) : like_(like), layout_(FlatLayout::of(like)) {}

  const std::vector<Segment>& segments() const { return layout_.segments; }
  /// The gaps between the tensors are zero.
  Tensor copy_of(const Tensors& tensors) const {
    const Tensor flat = zeros(like_[0].backend(), {layout_.size}, like_[0].dtype);
    std::vector<ConstArray> parts;
    for (const Tensor& tensor : tensors) parts.emplace_back(tensor.array());
    flat.backend().gather_segments(parts, layout_.segments, flat.array());
    return flat;
  }
  /// With a bf16 copy if `like` has one.
  Tensors parts_of(Tensor flat) const {
    if (like_[0].rounded) {
      flat.rounded = empty(flat.backend(), flat.shape, DType::bf16).data;
      round_copy(flat);
    }
    Tensors parts;
    for (std::size_t i = 0; i < like_.size(); ++i)
      parts.push_back(part_of(flat, layout_.segments[i].offset, like_[i].shape));
    return parts;
  }

 private:
  const Tensors& like_;
  FlatLayout layout_;
};

/// theta' = theta - lr (momentum history + weight_decay theta + gradient), as sgd does.
Tensors inner_update(const Tensors& theta, const Tensors& gradient, const InnerStep& step) {
  const Flat flat(theta);
  const Tensor moved = flat.copy_of(theta), change = flat.copy_of(gradient);
  const Tensor history = step.history.empty() ? zeros_like(moved) : flat.copy_of(step.history);
  const double momentum = step.history.empty() ? 0 : step.momentum;
  moved.backend().sgd({.momentum = momentum, .weight_decay = step.weight_decay}, flat.segments(),
                      cast(step.lr.detached(), DType::f64).array(), change.array(), moved.array(), history.array());
  return flat.parts_of(moved);
}

/// d/dm <grad_theta L, v> as (grad_m L(theta + r v) - grad_m L(theta - r v)) / 2r, r = radius / |v|.
Tensors difference_product(const BilevelLoss& inner, const Tensors& theta, const Tensors& meta, const Tensors& v,
                           const BilevelOptions& options) {
  // If v = 0 (the outer loss does not change), r stays finite and the difference is zero.
  const Flat flat(theta);
  const Tensor from = flat.copy_of(theta), along = flat.copy_of(v);
  const Tensor r = options.radius * reciprocal(clamp_min(norm({along}), 1e-30));
  auto gradient_at = [&](double sign) {
    const Tensors m = leaves(meta);
    const Tensor loss = inner(flat.parts_of(from + along * (sign * r)), m);
    return options.ranks.sum(grad({options.ranks.share(loss)}, m));
  };
  const Tensors up = gradient_at(1), down = gradient_at(-1);
  Tensors product;
  for (std::size_t i = 0; i < meta.size(); ++i) product.push_back((up[i] - down[i]) * (0.5 * reciprocal(r)));
  return product;
}

EstimatorComparison compare(const Tensors& exact, const Tensors& difference) {
  const Tensor exact_norm = norm(exact), difference_norm = norm(difference);
  const Tensor lengths = clamp_min(exact_norm * difference_norm, 1e-30);
  return {exact_norm, difference_norm, inner_product(exact, difference) / lengths};
}

void check_arguments(const InnerGradient& given, const InnerStep& step, const BilevelOptions& options) {
  require(!given.parameters.empty() && !given.meta.empty(), "meta gradient: needs parameters and meta parameters");
  require(step.lr && step.lr.size() == 1, "meta gradient: the rate must have one element");
  require(step.history.empty() || step.history.size() == given.parameters.size(),
          "meta gradient: ", given.parameters.size(), " parameters need as many momentum buffers, got ",
          step.history.size());
  require_usage(std::isfinite(options.radius) && options.radius > 0,
                "meta gradient: the radius must be finite and positive, got ", options.radius);
}

}  // namespace

MetaGradient meta_gradient(const BilevelLoss& inner, const BilevelLoss& outer, const Tensors& parameters,
                           const Tensors& meta, const InnerStep& step, const BilevelOptions& options) {
  const bool recorded = options.form == SecondOrder::exact || options.compare;
  InnerGradient given;
  given.parameters = leaves(detached(parameters)), given.meta = leaves(meta);
  check_arguments(given, step, options);
  given.loss = inner(given.parameters, given.meta);
  given.gradient = options.ranks.sum(grad({options.ranks.share(given.loss)}, given.parameters, {.create = recorded}));
  return meta_gradient(given, inner, outer, step, options);
}

MetaGradient meta_gradient(const InnerGradient& given, const BilevelLoss& inner, const BilevelLoss& outer,
                           const InnerStep& step, const BilevelOptions& options) {
  check_arguments(given, step, options);
  const bool exact = options.form == SecondOrder::exact || options.compare;
  const bool difference = options.form == SecondOrder::finite_difference || options.compare;
  const Tensors values = detached(given.parameters);
  const Tensors& m = given.meta;
  MetaGradient result;
  result.inner_loss = given.loss.detached();
  result.parameters = inner_update(values, detached(given.gradient), step);

  const Tensors moved = leaves(result.parameters);
  const Tensor outer_loss = outer(moved, m);
  Tensors wanted = moved;
  wanted.insert(wanted.end(), m.begin(), m.end());
  const Tensors gradients = options.ranks.sum(grad({options.ranks.share(outer_loss)}, wanted));
  const auto middle = gradients.begin() + static_cast<std::ptrdiff_t>(moved.size());
  const Tensors v(gradients.begin(), middle);
  result.outer_loss = outer_loss.detached();
  result.direct.assign(middle, gradients.end());

  Tensors exact_product, difference_of_gradients;
  if (exact) {
    Tensors seeds;  // the gradient is whole on every rank
    for (const Tensor& direction : v) seeds.push_back(options.ranks.share(direction));
    exact_product = options.ranks.sum(grad(given.gradient, m, {.seeds = seeds}));
  }
  if (difference) difference_of_gradients = difference_product(inner, values, m, v, options);
  if (options.compare) result.comparison = compare(exact_product, difference_of_gradients);
  if (options.form == SecondOrder::none) {
    result.gradient = result.direct;
    return result;
  }
  const Tensors& product = options.form == SecondOrder::exact ? exact_product : difference_of_gradients;
  const Tensor back = neg(rate(step));
  for (std::size_t i = 0; i < m.size(); ++i) {
    result.second.push_back(product[i] * back);
    result.gradient.push_back(result.direct[i] + result.second[i]);
  }
  return result;
}

}  // namespace vergence
