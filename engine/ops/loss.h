// Fused losses of embeddings, f32 or f64, differentiable to any order.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// InfoNCE: u [R, d] -> [R], log p(positive | i) of each row i; or T independent sets, [T, R, d] -> [T, R]. With
///   p(j | i) = exp(<u_i, u_j> / temperature) / sum_{k != i} exp(<u_i, u_k> / temperature), positive = (i + R/2) mod R.
/// R is even; rows normally have length 1 (l2_normalize). Up to order two, no R x R matrix outlives a call.
Tensor info_nce(const Tensor& u, double temperature);

/// For the cross-correlation c = z1^T z2 / N of two views' standardized embeddings, the halves of z [2N, D]:
struct CrossCorrelationLoss {
  Tensor diagonal;      // sum_i (c_ii - 1)^2, rank 0
  Tensor off_diagonal;  // sum_{i != j} c_ij^2, rank 0
};
/// Works with D x D matrices if N is at least 3/5 D, otherwise with the N x N product of each view with itself.
CrossCorrelationLoss cross_correlation_loss(const Tensor& z);

}  // namespace vergence
