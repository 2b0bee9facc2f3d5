#include "ssl/objectives/icl_msr/strata.h"

#include <algorithm>
#include <cmath>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "ssl/losses.h"

namespace vergence {
namespace {

/// Entry t along the first axis, in the given shape.
Tensor entry(const Tensor& all, std::int64_t t, const Shape& shape) { return reshape(slice(all, 0, t, 1), shape); }

/// Stacks values of rank 0 or 1 along a new first axis.
Tensor stacked(const Tensors& values) {
  Tensors entries;
  for (const Tensor& value : values)
    entries.push_back(reshape(value, value.shape.rank() == 0 ? Shape{1} : Shape{1, value.size()}));
  return concat(entries, 0);
}

/// Sums the gradients of a loss over strata with respect to its inputs, stratum by stratum.
class Gradients {
 public:
  Gradients(std::size_t inputs, std::int64_t strata) : sums_(inputs), rows_(static_cast<std::size_t>(strata)) {}

  /// Adds stratum t's gradient for input `input`. The last input is the weights; there the stratum has only row t.
  void add(std::size_t input, std::int64_t t, const Tensor& value) {
    const bool weights = input + 1 == sums_.size();
    Tensor& sum = weights ? rows_[static_cast<std::size_t>(t)] : sums_[input];
    sum = sum ? sum + value : value;
  }

  /// One per input; "none" for inputs without gradients.
  Tensors all() const {
    Tensors result = sums_;
    if (rows_[0]) result.back() = stacked(rows_);
    return result;
  }

 private:
  Tensors sums_, rows_;
};

/// A loss over strata: the function of one stratum and the values of its inputs, shared tensors first, then the
/// weights. Holds values only; their history is recomputed where needed.
class Strata {
 public:
  Strata(const Stratum& stratum, Tensors inputs) : stratum_(stratum), inputs_(std::move(inputs)) {
    for (Tensor& input : inputs_) input = input.detached();
  }

  std::int64_t count() const { return inputs_.back().shape[0]; }

  /// [T, R] of log likelihoods, [T] of losses; without history.
  Tensor results() const {
    Tensors all;
    for (std::int64_t t = 0; t < count(); ++t) all.push_back(run(inputs_of(t, {})));
    return stacked(all);
  }

  /// Adds the gradient of sum_t <cotangents_t, y_t> with respect to inputs `wanted` to `sums`.
  void add_gradients(const Tensor& cotangents, const std::vector<std::size_t>& wanted, Gradients& sums) const {
    for (std::int64_t t = 0; t < count(); ++t) {
      const Tensors inputs = inputs_of(t, wanted);
      const Tensor y = run(inputs);
      const Tensors gradients = grad({y}, chosen(inputs, wanted), {.seeds = {entry(cotangents, t, y.shape)}});
      for (std::size_t i = 0; i < wanted.size(); ++i) sums.add(wanted[i], t, gradients[i]);
    }
  }

  /// Returns y', the derivatives of the results along `directions`, one for each of inputs `along`. Adds the gradient
  /// of sum_t <cotangents_t, y'_t> with respect to inputs `wanted` to `sums`.
  Tensor add_mixed_gradients(const Tensor& cotangents, const std::vector<std::size_t>& along, const Tensors& directions,
                             const std::vector<std::size_t>& wanted, Gradients& sums) const {
    std::vector<std::size_t> traced = along;
    traced.insert(traced.end(), wanted.begin(), wanted.end());
    Tensors tangents;
    for (std::int64_t t = 0; t < count(); ++t) {
      const Tensors inputs = inputs_of(t, traced);
      const Tensor y = run(inputs);
      // The derivative of y along a direction is linear in the cotangent c of y: it is the gradient of <direction, dy
      // c> with respect to c.
      const Tensor c = leaf(entry(cotangents, t, y.shape));
      const Tensors gradients = grad({y}, chosen(inputs, along), {.create = true, .seeds = {c}});
      Tensors wrt = chosen(inputs, wanted), seeds;
      wrt.push_back(c);
      for (std::size_t i = 0; i < along.size(); ++i)
        seeds.push_back(along[i] == weights() ? entry(directions[i], t, inputs.back().shape) : directions[i]);
      const Tensors second = grad(gradients, wrt, {.seeds = seeds});
      tangents.push_back(second.back());
      for (std::size_t i = 0; i < wanted.size(); ++i) sums.add(wanted[i], t, second[i]);
    }
    return stacked(tangents);
  }

 private:
  /// The index of the weights among the inputs.
  std::size_t weights() const { return inputs_.size() - 1; }

  /// Stratum t's inputs; those in `traced` are leaves.
  Tensors inputs_of(std::int64_t t, const std::vector<std::size_t>& traced) const {
    Tensors inputs = inputs_;
    inputs.back() = entry(inputs_.back(), t, {inputs_.back().cols()});
    for (const std::size_t i : traced)
      if (!inputs[i].node) inputs[i] = leaf(inputs[i]);
    return inputs;
  }

  Tensor run(const Tensors& inputs) const {
    Tensor y = stratum_({inputs.begin(), inputs.end() - 1}, inputs.back());
    require(y.shape.rank() <= 1, "stratum: expected log likelihoods [R] or a loss of rank 0, got ", y.shape);
    return y;
  }

  static Tensors chosen(const Tensors& all, const std::vector<std::size_t>& places) {
    Tensors some;
    for (const std::size_t i : places) some.push_back(all[i]);
    return some;
  }

  const Stratum& stratum_;
  Tensors inputs_;
};

/// Computes the loss from the strata's results.
Tensor loss_of(const Tensor& results) {
  return results.shape.rank() == 2 ? averaged_likelihood_loss(results) : mean(results);
}

/// The values that the ops below keep: the cotangent of the loss, the inputs and the strata's results.
struct Kept {
  Tensor g, results;
  Tensors inputs;
};

/// d loss / d results, times g, with the leaves for differentiating it.
struct ResultCotangents {
  Tensor g, results, value;
};

ResultCotangents result_cotangents(const Kept& kept) {
  ResultCotangents c{leaf(kept.g), leaf(kept.results), {}};
  c.value = grad({loss_of(c.results)}, {c.results}, {.create = true, .seeds = {c.g}})[0];
  return c;
}

/// The double backward: maps cotangents of the gradients by inputs `along` to the cotangents of g and of all inputs.
Tensors double_backward(const Stratum& stratum, const std::vector<std::size_t>& along, const VjpContext& c) {
  Kept kept{c[0], c[1], {}};
  for (std::size_t i = 2; i < c.kept.size(); ++i) kept.inputs.push_back(c.kept[i]);
  require(std::none_of(c.kept.begin(), c.kept.end(), [](const Tensor& tensor) { return tensor.node != nullptr; }),
          "streamed_loss: differentiable twice, not three times");
  const Strata strata(stratum, kept.inputs);
  std::vector<std::size_t> reached, wanted;  // the gradients that have a cotangent; the inputs that need one
  Tensors directions;
  for (std::size_t i = 0; i < along.size(); ++i)
    if (i < c.cotangents.size() && c.cotangents[i]) {
      reached.push_back(along[i]);
      directions.push_back(c.cotangents[i]);
    }
  for (std::size_t i = 0; i < kept.inputs.size(); ++i)
    if (c.need(static_cast<int>(i + 1))) wanted.push_back(i);
  const ResultCotangents w = result_cotangents(kept);
  Gradients sums(kept.inputs.size(), strata.count());
  const Tensor tangents = strata.add_mixed_gradients(w.value.detached(), reached, directions, wanted, sums);
  const Tensors moved = grad({w.value}, {w.g, w.results}, {.seeds = {tangents}});
  // How the cotangents of the results change with them; those of a mean of losses are constant.
  if (kept.results.shape.rank() == 2) strata.add_gradients(moved[1], wanted, sums);
  Tensors cotangents = sums.all();
  cotangents.insert(cotangents.begin(), moved[0]);
  return cotangents;
}

/// The backward pass: g times the gradient of the loss by each of the inputs `wanted`; "none" for the others.
Tensors backward(const Stratum& stratum, const Kept& kept, const std::vector<std::size_t>& wanted) {
  const Strata strata(stratum, kept.inputs);
  Gradients sums(kept.inputs.size(), strata.count());
  strata.add_gradients(result_cotangents(kept).value.detached(), wanted, sums);
  Tensors gradients = sums.all();
  Tensors inputs{kept.g}, keeps{kept.g, kept.results};
  inputs.insert(inputs.end(), kept.inputs.begin(), kept.inputs.end());
  keeps.insert(keeps.end(), kept.inputs.begin(), kept.inputs.end());
  std::vector<Tensor*> outputs;
  for (const std::size_t i : wanted) outputs.push_back(&gradients[i]);
  record("streamed_loss_backward", inputs, keeps, outputs,
         [stratum, wanted](const VjpContext& c) { return double_backward(stratum, wanted, c); });
  return gradients;
}

}  // namespace

Tensor streamed_loss(const Stratum& stratum, const Tensors& shared, const Tensor& weights) {
  require(weights.shape.rank() == 2 && weights.shape[0] >= 1, "streamed_loss: expected weights [T, C], got ",
          weights.shape);
  Tensors inputs = shared;
  inputs.push_back(weights);
  const Strata strata(stratum, inputs);
  const Tensor results = strata.results();
  Tensor loss = loss_of(results);
  Tensors keeps{results};
  keeps.insert(keeps.end(), inputs.begin(), inputs.end());
  record("streamed_loss", inputs, keeps, {&loss}, [stratum](const VjpContext& c) {
    Kept kept{c.g(), c[0], {c.kept.begin() + 1, c.kept.end()}};
    std::vector<std::size_t> wanted;
    for (std::size_t i = 0; i < kept.inputs.size(); ++i)
      if (c.need(static_cast<int>(i))) wanted.push_back(i);
    return backward(stratum, kept, wanted);
  });
  return loss;
}

Tensor uniformity(const Tensor& weights) {
  require(weights.shape.rank() == 2 && weights.shape[0] >= 2, "uniformity: expected at least two strata [T, C], got ",
          weights.shape);
  const auto count = static_cast<double>(weights.shape[0]);
  const Tensor unit = l2_normalize(weights);
  // -2 |a - b|^2 = 4 <a, b> - 4; the pairs of a stratum with itself are subtracted again.
  const Tensor pairs = exp(affine(matmul(unit, unit, false, true), 4, -4));
  const Tensor own = exp(affine(dot_cols(unit, unit), 4, -4));
  return log((sum(pairs) - sum(own)) / (count * (count - 1)));
}

Tensor spread(const Tensor& weights) {
  const double share = 1 / static_cast<double>(weights.shape[0]);
  const Tensor centered = weights - share * sum_over_rows(weights);
  return mean(sqrt(share * dot_rows(centered, centered)));
}

}  // namespace vergence
