// Collectives as ops, differentiable to any order. Each rank has variables and a graph of its own, and calls the same
// ops in the same order (kernels/communicator.h). `grad`, called alike on every rank, computes the derivative of
//   sum over ranks r of <seed_r, output_r>
// with respect to this rank's variables: what the others' outputs owe to them is included. So if each rank's loss is
// its share of the whole, the sum of the ranks' gradients of a shared parameter is the gradient of one rank that has
// the whole batch. A vjp that has collectives of its own runs on every rank or on none: the graphs must not differ in
// what needs a derivative, nor in which outputs are used.
#pragma once

#include "engine/tensor.h"
#include "kernels/communicator.h"

namespace vergence {

// The communicator must outlive the graph.

/// The ranks' x, of the same shape, one after the other along the first axis, in rank order: [N, ...] -> [ranks N,
/// ...].
Tensor all_gather(const Tensor& x, Communicator& ranks);
/// The sum of the ranks' x, on every rank. In place of several sums use one of a longer vector: each waits once.
Tensor all_reduce(const Tensor& x, Communicator& ranks);

}  // namespace vergence
