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

/// What an op of one output leaves to the kernel that makes the cotangent of that output. Each such op derives a type
/// from this, whose tensors have no history and are `released`.
struct Epilogue {
  virtual ~Epilogue() = default;
};

/// One input of a node, as VjpContext explains it.
struct VjpInput {
  bool needed = false;
  Tensor partial, place;
  const Epilogue* epilogue = nullptr;
  Tensor gathered;
};

/// What a vjp gets. `cotangents`: one per output, "none" where that output was not used. `kept`: the node's tensors,
/// with history only if the result is to be differentiated again.
struct VjpContext {
  const Tensors& cotangents;
  Tensors& kept;  // some released: [] restores what it is asked for
  std::vector<VjpInput>& inputs;
  /// What was gathered for this op by the vjp that has applied its epilogue to g(). "None" where none has.
  const Tensor& gathered;

  const Tensor& g(int output = 0) const { return cotangents[static_cast<std::size_t>(output)]; }
  const Tensor& operator[](int index) const;
  /// Of a kept tensor, which need not be there for that.
  const Shape& shape(int index) const { return kept[static_cast<std::size_t>(index)].shape; }
  /// Whether an input's cotangent is wanted.
  bool need(int input) const { return of(input).needed; }
  /// What an input's cotangent has come to so far, if nobody else holds its memory: the vjp may add its own part to it
  /// in place, record the sum with it as an input, and return that. "None" otherwise.
  const Tensor& partial(int input) const { return of(input).partial; }
  /// Where an input's cotangent is wanted, if this vjp alone brings it (Grad::places). "None" otherwise; a vjp need not
  /// heed it.
  const Tensor& place(int input) const { return of(input).place; }
  /// What the op behind an input leaves to the kernel that makes its cotangent, if that is an E. Null if more comes to
  /// that cotangent than this vjp's part and `partial`, if somebody else asks for it, or if history is kept.
  template <class E>
  const E* epilogue(int input) const {
    return dynamic_cast<const E*>(of(input).epilogue);
  }
  /// To be called by a vjp that has applied it, with what that op's vjp is to find in `gathered`.
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
  std::vector<int> kept_outputs;  // for each kept tensor: which own output it is, or -1
  std::shared_ptr<const Epilogue> epilogue;
  int outputs = 1;
  bool freed = false;

  ~Node();  // unlinks long chains without recursion
};

/// Records an op: gives `outputs` a common node if any of `inputs` has one (otherwise does nothing).
/// `kept` is what the vjp needs, outputs of this very op included (they are recognized by their storage).
void record(const char* name, const Tensors& inputs, Tensors kept, const std::vector<Tensor*>& outputs, Vjp vjp,
            std::shared_ptr<const Epilogue> epilogue = nullptr);

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
