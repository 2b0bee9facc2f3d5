// What DSA asks of all pairs (i, j) of the rows of two matrices [N, e] and [M, e]. What is N x M x e exists only for a
// few rows i at a time, and is made again when gradients are wanted: memory does not grow with N M e.
#pragma once

#include "engine/tensor.h"

namespace vergence {

/// Euclidean distances between rows scaled to unit length, [N, M], in f64 whatever the type of p and q: it is the root
/// of a difference, which in f32 would be noise where rows agree. Below 1e-7 the distance is 0, and so is its gradient.
Tensor unit_distances(const Tensor& p, const Tensor& q);

/// score_ij = bias + sum_c weight_c max(left_ic + right_jc, 0): what follows the first layer of a two-layer perceptron
/// over pairs. left [N, e], right [M, e], weight [1, e], bias [1] -> [N, M]. Differentiable to any order. One
/// row i is worked on at a time, or as many as make `values` values; 0: as suits the device.
Tensor pair_scores(const Tensor& left, const Tensor& right, const Tensor& weight, const Tensor& bias,
                   std::int64_t values = 0);

/// sum_ij |left_ic - right_jc|, [e]. Equal entries have derivative 0.
Tensor pair_l1(const Tensor& left, const Tensor& right, std::int64_t values = 0);

}  // namespace vergence
