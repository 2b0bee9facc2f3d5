// Collectives as ops, differentiable to any order. Each rank has variables and a graph of its own, and calls the same
// ops in the same order (kernels/communicator.h). `grad`, called alike on every rank, computes the derivative of
//   sum over ranks r of <seed_r, output_r>
// with respect to this rank's variables, including their effect on the other ranks' outputs. So if each rank's loss is
// its share of the whole, the sum of the ranks' gradients of a shared parameter is the gradient of one rank that has
// the whole batch. If a vjp calls collectives, it must run on all ranks or on none: the graphs must agree in what needs
// a derivative and in which outputs are used.
#pragma once

#include "engine/tensor.h"
#include "kernels/communicator.h"

namespace vergence {

// The communicator must outlive the graph.

/// The ranks' x, of the same shape, one after the other along the first axis, in rank order: [N, ...] -> [ranks N,
/// ...].
Tensor all_gather(const Tensor& x, Communicator& ranks);
/// The sum of the ranks' x, on every rank. Prefer one sum of a long vector to several sums: each waits for all ranks.
Tensor all_reduce(const Tensor& x, Communicator& ranks);

}  // namespace vergence
