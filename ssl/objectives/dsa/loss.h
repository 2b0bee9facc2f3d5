// DSA's two losses, composed of differentiable ops.
#pragma once

#include <array>

#include "engine/tensor.h"

namespace vergence {

/// One N x N matrix per pair of views, in this order: 11, 22, 12, 21.
using Blocks = std::array<Tensor, 4>;

/// log(1 + (B_11 + B_22 + B_12 + B_21) / 4), B = sum_ij w_ij exp(s_i d_ij (2 M_ij - 1) / temperature) / N^2; w is 0 on
/// the diagonals of 11 and 22, else 1. Attracts pairs with M > 1/2, repels the others; exponents above 30 are clamped,
/// with gradient 0. `distances`: [N, N], exactly 0 on those diagonals; `scores` s: [N, 1], or none for 1.
Tensor adjusting_loss(const Blocks& distances, const Blocks& matrices, const Tensor& scores, double temperature);

/// sum_k |M_k - P_k|, Frobenius norms; the derivative of a norm at 0 is 0. `mean`: divides the sum by 4.
Tensor prior_loss(const Blocks& matrices, const Blocks& prior, bool mean);

}  // namespace vergence
