// DSA's functions over all pairs (i, j) of the rows of two matrices [N, e] and [M, e]. The N x M x e values are
// computed a few rows i at a time and recomputed for gradients, so memory does not grow with N M e.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// Returns Euclidean distances between rows scaled to unit length, [N, M]. Always in f64: the root of a difference
/// would be noise in f32 where rows agree. Below 1e-7 the distance and its gradient are 0.
Tensor unit_distances(const Tensor& p, const Tensor& q);

/// score_ij = bias + sum_c weight_c max(left_ic + right_jc, 0): the part of a two-layer perceptron over pairs that
/// follows its first layer. left [N, e], right [M, e], weight [1, e], bias [1] -> [N, M]. Differentiable to any order.
/// Works on one row i at a time, or on as many as make `values` values; 0: as suits the device.
Tensor pair_scores(const Tensor& left, const Tensor& right, const Tensor& weight, const Tensor& bias,
                   std::int64_t values = 0);

/// sum_ij |left_ic - right_jc|, [e]. The derivative is 0 where entries are equal.
Tensor pair_l1(const Tensor& left, const Tensor& right, std::int64_t values = 0);

}  // namespace vergence
