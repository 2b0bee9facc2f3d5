// Automatic differentiation of any order. An op records one Node; `grad` walks the nodes backwards and returns values.
//
// A vjp (vector-Jacobian product) computes the cotangents of an op's inputs from those of its outputs. It consists of
// ops, so with `create` its results are recorded too and can be differentiated again. A node owns what its vjp needs
// (`kept`). If that includes the node's own output, only its value is kept; running the vjp attaches the history again.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/tensor.h"

namespace vergence {

/// The node that produced an input, and which of its outputs it is. Owns no data. A null node means a constant.
struct Edge {
  std::shared_ptr<Node> node;
  int slot = 0;
};

/// Data that an op with one output gives to the kernel that computes this output's cotangent. The kernel can then also
/// do the first part of the op's own backward pass. Each such op derives a type; its tensors have no history and are
/// `released`.
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
  Tensors& kept;  // some are released: operator [] restores them
  std::vector<VjpInput>& inputs;
  /// What another vjp passed to `applied` after it applied this op's epilogue to g(). "None" if no vjp did.
  const Tensor& gathered;

  const Tensor& g(int output = 0) const { return cotangents[static_cast<std::size_t>(output)]; }
  const Tensor& operator[](int index) const;
  /// The shape of a kept tensor, which may be released.
  const Shape& shape(int index) const { return kept[static_cast<std::size_t>(index)].shape; }
  /// True if an input needs its cotangent.
  bool need(int input) const { return of(input).needed; }
  /// The sum of an input's cotangents so far, if nobody else holds its memory; otherwise "none". The vjp may add its
  /// own part in place, record the sum with this as an input, and return it.
  const Tensor& partial(int input) const { return of(input).partial; }
  /// Where to write an input's cotangent (GradOptions::places), if only this vjp contributes to it; otherwise "none". A
  /// vjp may ignore it.
  const Tensor& place(int input) const { return of(input).place; }
  /// The epilogue of the op behind an input, if it is an E. Null if the cotangent has contributions besides this vjp's
  /// and `partial`, if it is itself a result of the `grad`, or with GradOptions::create.
  template <class E>
  const E* epilogue(int input) const {
    return dynamic_cast<const E*>(of(input).epilogue);
  }
  /// A vjp that applied the epilogue must call this. The op's own vjp receives the data as `gathered`.
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
  std::vector<int> kept_outputs;  // for each kept tensor: which of the node's outputs it is, or -1
  std::shared_ptr<const Epilogue> epilogue;
  int outputs = 1;
  bool freed = false;

  ~Node();  // unlinks long chains without recursion
};

/// Records an op: gives `outputs` a common node if any of `inputs` has one (otherwise does nothing). `kept`: the
/// tensors that the vjp needs, which may include the op's own outputs (recognized by their storage).
void record(const char* name, const Tensors& inputs, Tensors kept, const std::vector<Tensor*>& outputs, Vjp vjp,
            std::shared_ptr<const Epilogue> epilogue = nullptr);

/// A new differentiable leaf with the value of `value`, for which `grad` can compute a derivative.
Tensor leaf(const Tensor& value);

struct GradOptions {
  bool create = false;  // PyTorch's create_graph: record the backward pass, so that its results can be differentiated
  bool keep = false;    // PyTorch's retain_graph: keep the graph for another `grad`; implied by create
  Tensors seeds = {};   // PyTorch's grad_outputs: cotangents of the outputs; default: ones for one-element outputs
  // Without create: memory for the derivatives, one constant per `wrt`, of its shape and type. A result is stored
  // either there or in its own memory.
  Tensors places = {};
  // Without create: called once for each of `wrt`, with its index, as soon as its derivative is final. The walk goes on
  // afterwards. The order depends on the graph alone; derivatives that no vjp contributes to come first. `grad` does
  // not change a final derivative, and does not read one that lies in a leaf's place: that may be changed there.
  std::function<void(std::size_t index, const Tensor& derivative)> ready = nullptr;
};

/// The derivative of sum_i <seed_i, outputs_i> with respect to each of `wrt`. Zeros where there is no path.
Tensors grad(const Tensors& outputs, const Tensors& wrt, const GradOptions& options = {});

/// Called with the op's name each time one is recorded or run; tests use it to see that every op is covered.
extern thread_local void (*op_observer)(const char* name);

}  // namespace vergence
