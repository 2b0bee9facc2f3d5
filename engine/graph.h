// Automatic differentiation of any order. An op records one Node; `grad` walks the nodes backwards and returns values.
//
// A vjp is written with ops, so with `create` its results are themselves recorded and can be differentiated again.
// Nodes own what their vjp needs (`kept`), never their own output: where a vjp wants the output's value it is kept
// without history and gets it back, as the node's own output, when the vjp runs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/tensor.h"

namespace vergence {

/// Where an input came from. Owns no data. A null node is a constant.
struct Edge {
  std::shared_ptr<Node> node;
  int slot = 0;
};

/// What a vjp gets. `cotangents`: one per output, "none" where that output was not used. `kept`: the node's tensors,
/// with history only if the result is to be differentiated again. `needs[i]`: whether input i's cotangent is wanted.
/// `partials[i]`: what input i's cotangent has come to so far, if nobody else holds its memory: the vjp may add its own
/// part to it in place, record the sum with it as an input, and return that. "None" otherwise.
/// `readers[i]`: the node of input i if its vjp alone reads that cotangent, nothing comes after this vjp's part of it,
/// nothing came before or partials[i] is that, and no history is kept; null otherwise. What the reader would do first
/// may then be done at once.
/// `places[i]`: where input i's cotangent is wanted, if this vjp alone brings it (Grad::places). "None" otherwise; a
/// vjp need not heed it.
struct VjpContext {
  const Tensors& cotangents;
  Tensors& kept;  // some released: [] restores what it is asked for
  const std::vector<bool>& needs;
  const Tensors& partials;
  const Tensors& places;
  const std::vector<const Node*>& readers;

  const Tensor& g(int output = 0) const { return cotangents[static_cast<std::size_t>(output)]; }
  const Tensor& operator[](int index) const;
  /// Of a kept tensor, which need not be there for that.
  const Shape& shape(int index) const { return kept[static_cast<std::size_t>(index)].shape; }
  bool need(int input) const { return needs[static_cast<std::size_t>(input)]; }
  const Tensor& partial(int input) const { return partials[static_cast<std::size_t>(input)]; }
  const Tensor& place(int input) const { return places[static_cast<std::size_t>(input)]; }
  const Node* reader(int input) const { return readers[static_cast<std::size_t>(input)]; }
};

/// Returns one cotangent per input; "none" where it is zero or not needed.
using Vjp = std::function<Tensors(const VjpContext&)>;

struct Node {
  const char* name;
  std::uint64_t order = 0;  // later nodes have larger numbers
  std::vector<Edge> in;
  Vjp vjp;
  Tensors kept;
  std::vector<int> kept_outputs;  // for each kept tensor: which own output it is, or -1
  int outputs = 1;
  bool freed = false;

  ~Node();  // unlinks long chains without recursion
};

/// Records an op: gives `outputs` a common node if any of `inputs` has one (otherwise does nothing).
/// `kept` is what the vjp needs, outputs of this very op included (they are recognised by their storage).
void record(const char* name, const Tensors& inputs, Tensors kept, const std::vector<Tensor*>& outputs, Vjp vjp);

/// A new differentiable leaf with the value of `value`: what `grad` can be asked about.
Tensor leaf(const Tensor& value);

struct Grad {
  bool create = false;  // record the backward pass, so that its results can be differentiated
  bool keep = false;    // keep the graph for another `grad`; implied by create
  Tensors seeds = {};   // cotangents of the outputs; default: ones for one-element outputs
  // Without create: memory for the derivatives, one constant per `wrt`, of its shape and type. A result lies there, or
  // in memory of its own.
  Tensors places = {};
};

/// The derivative of sum_i <seed_i, outputs_i> with respect to each of `wrt`. Zeros where there is no path.
Tensors grad(const Tensors& outputs, const Tensors& wrt, const Grad& options = {});

/// Called with the op's name each time one is recorded or run; tests use it to see that every op is covered.
extern thread_local void (*op_observer)(const char* name);

}  // namespace vergence
