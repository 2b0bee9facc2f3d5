// The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray: "Fast algorithms for convolutional neural networks", CVPR
// 2016). In one dimension, y = A'[(G w) * (B'd)] for 6 inputs d, 3 weights w and 4 outputs y, and the weight gradient
// is dw = G'[(B'd) * (A g)]. In two dimensions a transform is applied to the columns of a tile, then to its rows.
//
// The products are those of polynomials at the points 0, +-p, +-q and infinity. Any p and q are exact in theory; in
// floating point p = 5/8, q = 3/2 have less than half the error of the paper's 1 and 2, at the cost of a few
// multiplications. Rows of B': the polynomial with zeros at all other points; G: (1, t, t^2) / N(t), N(t) = the product
// of t's differences to the other points; A': (1, t, t^2, t^3).
#pragma once

#include "kernels/cpu/simd.h"

namespace vergence::winograd {

constexpr int in_side = 6, out_side = 4, kernel_side = 3, points = in_side * in_side;

constexpr float p = 5.f / 8, q = 3.f / 2, p2 = p * p, q2 = q * q;

/// A line of a tile; a transform replaces its first `in` vectors by `out` new ones.
using Line = FloatVector[in_side];

/// B': 6 inputs -> 6.
struct InputLine {
  static constexpr int in = in_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector even_p = v[4] - q2 * v[2], odd_p = p * v[3] - p * q2 * v[1], even_q = v[4] - p2 * v[2],
                      odd_q = q * v[3] - q * p2 * v[1];
    v[0] = p2 * q2 * v[0] - (p2 + q2) * v[2] + v[4];
    v[5] = p2 * q2 * v[1] - (p2 + q2) * v[3] + v[5];
    v[1] = even_p + odd_p;
    v[2] = even_p - odd_p;
    v[3] = even_q + odd_q;
    v[4] = even_q - odd_q;
  }
};

/// A': 6 products -> 4 outputs.
struct OutputLine {
  static constexpr int in = in_side, out = out_side;
  static void apply(Line& v) {
    const FloatVector even_p = v[1] + v[2], odd_p = v[1] - v[2], even_q = v[3] + v[4], odd_q = v[3] - v[4];
    v[0] = v[0] + even_p + even_q;
    v[1] = p * odd_p + q * odd_q;
    v[2] = p2 * even_p + q2 * even_q;
    v[3] = p * p2 * odd_p + q * q2 * odd_q + v[5];
  }
};

/// A: 4 output gradients -> 6.
struct GradientLine {
  static constexpr int in = out_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector even_p = v[0] + p2 * v[2], odd_p = p * v[1] + p * p2 * v[3], even_q = v[0] + q2 * v[2],
                      odd_q = q * v[1] + q * q2 * v[3];
    v[5] = v[3];
    v[1] = even_p + odd_p;
    v[2] = even_p - odd_p;
    v[3] = even_q + odd_q;
    v[4] = even_q - odd_q;
  }
};

constexpr float norm_0 = 1 / (p2 * q2), norm_p = 1 / (2 * p2 * (p2 - q2)), norm_q = 1 / (2 * q2 * (q2 - p2));

/// G: 3 weights -> 6.
struct WeightLine {
  static constexpr int in = kernel_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector even_p = norm_p * v[0] + norm_p * p2 * v[2], odd_p = norm_p * p * v[1],
                      even_q = norm_q * v[0] + norm_q * q2 * v[2], odd_q = norm_q * q * v[1];
    v[5] = v[2];
    v[0] = norm_0 * v[0];
    v[1] = even_p + odd_p;
    v[2] = even_p - odd_p;
    v[3] = even_q + odd_q;
    v[4] = even_q - odd_q;
  }
};

/// G': 6 sums of products -> 3 weight gradients.
struct WeightGradientLine {
  static constexpr int in = in_side, out = kernel_side;
  static void apply(Line& v) {
    const FloatVector even_p = norm_p * (v[1] + v[2]), odd_p = norm_p * p * (v[1] - v[2]),
                      even_q = norm_q * (v[3] + v[4]), odd_q = norm_q * q * (v[3] - v[4]);
    v[0] = norm_0 * v[0] + even_p + even_q;
    v[1] = odd_p + odd_q;
    v[2] = p2 * even_p + q2 * even_q + v[5];
  }
};

/// Transforms a tile of in x in vectors into out x out: `load(row, column, vector)` sets one, `store(row, column,
/// vector)` takes one.
template <class T, class Load, class Store>
inline void transform(const Load& load, const Store& store) {
  FloatVector tile[in_side][in_side];
#pragma GCC unroll 6
  for (int column = 0; column < T::in; ++column) {
    Line line;
#pragma GCC unroll 6
    for (int row = 0; row < T::in; ++row) load(row, column, line[row]);
    T::apply(line);
#pragma GCC unroll 6
    for (int row = 0; row < T::out; ++row) tile[row][column] = line[row];
  }
#pragma GCC unroll 6
  for (int row = 0; row < T::out; ++row) {
    Line line;
#pragma GCC unroll 6
    for (int column = 0; column < T::in; ++column) line[column] = tile[row][column];
    T::apply(line);
#pragma GCC unroll 6
    for (int column = 0; column < T::out; ++column) store(row, column, line[column]);
  }
}

}  // namespace vergence::winograd
