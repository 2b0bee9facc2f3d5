// The transforms of Winograd's F(4x4, 3x3) (Lavin and Gray: "Fast algorithms for convolutional neural networks", CVPR
// 2016). In one dimension, y = A'[(G w) * (B'd)] for 6 inputs d, 3 weights w and 4 outputs y, and the weight gradient
// is dw = G'[(B'd) * (A g)]. In two dimensions a transform is applied to the columns of a tile, then to its rows.
#pragma once

#include "kernels/simd.h"

namespace vergence::winograd {

constexpr int in_side = 6, out_side = 4, kernel_side = 3, points = in_side * in_side;

/// A line of a tile; its first `in` vectors are replaced by `out` others.
using Line = FloatVector[in_side];

/// B': 6 inputs -> 6.
struct InputLine {
  static constexpr int in = in_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector even = v[4] - 4.f * v[2], odd = v[3] - 4.f * v[1], near = v[4] - v[2], far = 2.f * (v[3] - v[1]);
    v[0] = 4.f * v[0] - 5.f * v[2] + v[4];
    v[5] = 4.f * v[1] - 5.f * v[3] + v[5];
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = near + far;
    v[4] = near - far;
  }
};

/// A': 6 products -> 4 outputs.
struct OutputLine {
  static constexpr int in = in_side, out = out_side;
  static void apply(Line& v) {
    const FloatVector sum = v[1] + v[2], difference = v[1] - v[2], far_sum = v[3] + v[4], far_difference = v[3] - v[4];
    v[0] = v[0] + sum + far_sum;
    v[1] = difference + 2.f * far_difference;
    v[2] = sum + 4.f * far_sum;
    v[3] = difference + 8.f * far_difference + v[5];
  }
};

/// A: 4 output gradients -> 6.
struct GradientLine {
  static constexpr int in = out_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector even = v[0] + v[2], odd = v[1] + v[3], far_even = v[0] + 4.f * v[2],
                      far_odd = 2.f * v[1] + 8.f * v[3];
    v[5] = v[3];
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = far_even + far_odd;
    v[4] = far_even - far_odd;
  }
};

/// G: 3 weights -> 6.
struct WeightLine {
  static constexpr int in = kernel_side, out = in_side;
  static void apply(Line& v) {
    const FloatVector near = (v[0] + v[2]) * (-1.f / 6), far = v[0] * (1.f / 24) + v[2] * (1.f / 6), middle = v[1];
    v[5] = v[2];
    v[0] = v[0] * .25f;
    v[1] = near - middle * (1.f / 6);
    v[2] = near + middle * (1.f / 6);
    v[3] = far + middle * (1.f / 12);
    v[4] = far - middle * (1.f / 12);
  }
};

/// G': 6 sums of products -> 3 weight gradients.
struct WeightGradientLine {
  static constexpr int in = in_side, out = kernel_side;
  static void apply(Line& v) {
    const FloatVector near = (v[1] + v[2]) * (1.f / 6), far = v[3] + v[4];
    v[0] = v[0] * .25f - near + far * (1.f / 24);
    v[1] = (v[2] - v[1]) * (1.f / 6) + (v[3] - v[4]) * (1.f / 12);
    v[2] = far * (1.f / 6) - near + v[5];
  }
};

/// Transforms a tile of in x in vectors, `load(row, column, vector)` sets one, into out x out: `store(row, column,
/// vector)`.
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
