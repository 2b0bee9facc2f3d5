#include "engine/recomputed.h"

#include <algorithm>

#include "engine/graph.h"

namespace vergence {
namespace {

using Places = std::vector<std::size_t>;

Tensors chosen(const Tensors& all, const Places& places) {
  Tensors some;
  for (const std::size_t place : places) some.push_back(all[place]);
  return some;
}

/// The vjp of f: cotangents of its results `reached`, then its inputs -> cotangents of its inputs `wanted`.
TensorFunction backward_of(const TensorFunction& f, const Places& reached, const Places& wanted) {
  return [f, reached, wanted](const Tensors& arguments) {
    const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(reached.size());
    const Tensors cotangents(arguments.begin(), first);
    Tensors inputs(first, arguments.end());
    const bool traced =
        std::any_of(arguments.begin(), arguments.end(), [](const Tensor& t) { return t.node != nullptr; });
    for (const std::size_t i : wanted)
      if (!inputs[i].node) inputs[i] = leaf(inputs[i]);
    const Tensors results = f(inputs);
    return grad(chosen(results, reached), chosen(inputs, wanted), {.create = traced, .seeds = cotangents});
  };
}

Tensors vjp(const TensorFunction& f, const VjpContext& c) {
  Places reached, wanted;
  Tensors arguments;
  for (std::size_t i = 0; i < c.cotangents.size(); ++i)
    if (c.cotangents[i]) {
      reached.push_back(i);
      arguments.push_back(c.cotangents[i]);
    }
  for (std::size_t i = 0; i < c.kept.size(); ++i) {
    if (c.need(static_cast<int>(i))) wanted.push_back(i);
    arguments.push_back(c[static_cast<int>(i)]);
  }
  const Tensors gradients = recomputed(backward_of(f, reached, wanted), arguments);
  Tensors cotangents(c.kept.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) cotangents[wanted[i]] = gradients[i];
  return cotangents;
}

}  // namespace

Tensors recomputed(const TensorFunction& f, const Tensors& inputs, Tensors results) {
  if (results.empty()) {
    Tensors values;
    for (const Tensor& input : inputs) values.push_back(input.detached());
    results = f(values);
  }
  std::vector<Tensor*> outputs;
  for (Tensor& result : results) {
    result = result.detached();
    outputs.push_back(&result);
  }
  record("recomputed", inputs, inputs, outputs, [f](const VjpContext& c) { return vjp(f, c); });
  return results;
}

}  // namespace vergence
