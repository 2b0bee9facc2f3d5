// Automatic differentiation of any order. An op records one Node; `grad` walks the nodes backwards and returns values.
//
// A vjp is written with ops, so with `create` its results are recorded too and can be differentiated again. Nodes own
// what their vjp needs (`kept`) but never their own output: if a vjp needs the output's value, it is kept without
// history and restored as the node's own output when the vjp runs.
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

/// Information that an op with one output passes to the kernel that computes that output's cotangent. Each such op
/// derives a type from this, whose tensors have no history and are `released`.
struct Epilogue {
  virtual ~Epilogue() = default;
};

/// One input of a node, as seen through VjpContext.
struct VjpInput {
  bool needed = false;
  Tensor partial, place;
  const Epilogue* epilogue = nullptr;
  Tensor gathered;
};

/// The arguments of a vjp. `cotangents`: one per output, "none" if that output was not used. `kept`: the node's
/// tensors, with history only if the result is to be differentiated again.
struct VjpContext {
  const Tensors& cotangents;
  Tensors& kept;  // some released: operator [] restores the one asked for
  std::vector<VjpInput>& inputs;
  /// What another vjp gathered for this op when it applied this op's epilogue to g(). "None" if no vjp did.
  const Tensor& gathered;

  const Tensor& g(int output = 0) const { return cotangents[static_cast<std::size_t>(output)]; }
  const Tensor& operator[](int index) const;
  /// The shape of a kept tensor, which may be released.
  const Shape& shape(int index) const { return kept[static_cast<std::size_t>(index)].shape; }
  /// True if an input's cotangent is wanted.
  bool need(int input) const { return of(input).needed; }
  /// The sum of an input's cotangent so far, if nobody else holds its memory. The vjp may add its own part in place,
  /// record the sum with this as an input, and return it. "None" otherwise.
  const Tensor& partial(int input) const { return of(input).partial; }
  /// The place for an input's cotangent, if only this vjp contributes to it (GradOptions::places). "None" otherwise; a
  /// vjp may ignore it.
  const Tensor& place(int input) const { return of(input).place; }
  /// The epilogue of the op behind an input, if it is an E. Null if the cotangent has contributions other than this
  /// vjp's and `partial`, if somebody else asks for it, or if history is kept.
  template <class E>
  const E* epilogue(int input) const {
    return dynamic_cast<const E*>(of(input).epilogue);
  }
  /// Must be called by a vjp that applied the epilogue, with what that op's vjp is to find in `gathered`.
  void applied(int input, const Tensor& gathered_there) const { of(input).gathered = gathered_there; }

 private:
  VjpInput& of(int input) const { return inputs[static_cast<std::size_t>(input)]; }
};

/// Returns one cotangent per input; "none" where it is zero or not needed.
using Vjp = std::function<Tensors(const VjpContext&)>;

struct Node {
  const char* name;
  std::uint64_t order = 0;  // later nodes have larger numbers
  std::vector<Edge> in;
  Vjp vjp;
  Tensors kept;
  std::vector<int> kept_outputs;  // for each kept tensor: the index of the own output it is, or -1
  std::shared_ptr<const Epilogue> epilogue;
  int outputs = 1;
  bool freed = false;

  ~Node();  // unlinks long chains without recursion
};

/// Records an op: gives `outputs` a common node if any of `inputs` has one (otherwise does nothing). `kept` is what the
/// vjp needs. It may include this op's own outputs (recognized by their storage).
void record(const char* name, const Tensors& inputs, Tensors kept, const std::vector<Tensor*>& outputs, Vjp vjp,
            std::shared_ptr<const Epilogue> epilogue = nullptr);

/// A new differentiable leaf with the value of `value`, for which `grad` can compute a derivative.
Tensor leaf(const Tensor& value);

struct GradOptions {
  bool create = false;  // record the backward pass, so that its results can be differentiated
  bool keep = false;    // keep the graph for another `grad`; implied by create
  Tensors seeds = {};   // cotangents of the outputs; default: ones for one-element outputs
  // Without create: memory for the derivatives, one constant per `wrt`, of its shape and type. A result is stored
  // either there or in its own memory.
  Tensors places = {};
};

/// The derivative of sum_i <seed_i, outputs_i> with respect to each of `wrt`. Zeros where there is no path.
Tensors grad(const Tensors& outputs, const Tensors& wrt, const GradOptions& options = {});

/// Called with the op's name each time one is recorded or run; tests use it to see that every op is covered.
extern thread_local void (*op_observer)(const char* name);

}  // namespace vergence
