// Fused losses of embeddings, f32 or f64, differentiable to any order.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// InfoNCE by inner product: each row's log probability of its positive among the other rows of its set. u is [R, d],
/// or [T, R, d] for T independent sets; R even; the positive of row i is row (i + R/2) mod R; u's rows normally have
/// length 1 (l2_normalize). The probability of row j is exp(<u_i, u_j> / temperature) over the sum of that over all
/// rows but i. -> [R] or [T, R]. Neither the scores nor anything else of size R x R is ever stored, up to the second
/// order.
Tensor info_nce(const Tensor& u, double temperature);

/// With c = z1^T z2 / N of the two halves of z [2N, D], both views' standardized embeddings:
struct CrossCorrelationLoss {
  Tensor diagonal;      // sum_i (c_ii - 1)^2, rank 0
  Tensor off_diagonal;  // sum_{i != j} c_ij^2, rank 0
};
/// Forms D x D matrices only if N is at least 3/4 D; otherwise forms the N x N product of each view with itself.
CrossCorrelationLoss cross_correlation_loss(const Tensor& z);

}  // namespace vergence
