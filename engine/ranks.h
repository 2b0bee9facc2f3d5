// The ranks that share a batch (kernels/communicator.h). With one rank, every function returns its input.
//
// Each rank has an equal part of the batch's images, but computes the whole loss: embeddings are gathered before they
// are compared. `grad` differentiates the sum over ranks (engine/ops/collective.h). So each rank differentiates its
// `share` of the loss, and the `sum` of the ranks' gradients of a shared parameter is the gradient.
#pragma once

#include "engine/tensor.h"

namespace vergence {

struct Ranks {
  Communicator* communicator = nullptr;  // must outlive the graphs; null: one rank alone

  int count() const;
  /// value / count().
  Tensor share(const Tensor& value) const;
  /// The sum over ranks, of several tensors of one type in one exchange.
  Tensor sum(const Tensor& x) const;
  Tensors sum(const Tensors& x) const;
  /// The mean over ranks.
  Tensor mean(const Tensor& x) const { return share(sum(x)); }
  /// All ranks' rows, in rank order: [n, ...] -> [N, ...].
  Tensor gather(const Tensor& x) const;
  /// The same for both views: [2n, ...], the first view's rows, then the second's -> [2N, ...] alike.
  Tensor gather_views(const Tensor& both) const;
};

}  // namespace vergence
