// How a convolution on the GPU walks over images. The forward pass and the data gradient are the same gather: an output
// pixel at (row, column) is a sum, over taps, of a source pixel's channels times weights,
//   source row = position * scale + first + tap * step,
// along rows and columns alike. Forward: scale = stride, step = dilation. Data gradient: the input pixels form
// stride x stride classes by their remainders. Within a class, the same taps reach every pixel, and their sources are
// step = -dilation / gcd(stride, dilation) apart, so no tap is tried that does not reach a pixel.
#pragma once

#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {

/// Rows, or columns, of one class.
struct ConvAxis {
  int positions;                  // of the class
  int out_first, out_step;        // the position's row in the output: out_first + position * out_step
  int source_size;                // rows outside [0, source_size) are padding
  int scale, first, step;         // see above
  int taps, tap_first, tap_step;  // the tap's row in the kernel: tap_first + tap * tap_step
};

/// One class of output pixels.
struct ConvWalk {
  ConvAxis rows, cols;
  int out_height, out_width;
  int first_tap;        // the number in the kernel of tap (0, 0)
  std::int64_t pixels;  // of the class

  VERGENCE_BOTH int taps() const { return rows.taps * cols.taps; }
};

/// A ConvShape in the form that kernels take.
struct ConvSizes {
  std::int64_t batch;
  int in_height, in_width, in_channels, out_height, out_width, out_channels, kernel_height, kernel_width;
  int stride, padding, dilation, groups;

  explicit ConvSizes(const ConvShape& s)
      : batch(s.batch),
        in_height(static_cast<int>(s.in_height)),
        in_width(static_cast<int>(s.in_width)),
        in_channels(static_cast<int>(s.in_channels)),
        out_height(static_cast<int>(s.out_height())),
        out_width(static_cast<int>(s.out_width())),
        out_channels(static_cast<int>(s.out_channels)),
        kernel_height(static_cast<int>(s.kernel_height)),
        kernel_width(static_cast<int>(s.kernel_width)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)),
        dilation(static_cast<int>(s.dilation)),
        groups(static_cast<int>(s.groups)) {}

  VERGENCE_BOTH int kernel_size() const { return kernel_height * kernel_width; }
  std::string text() const {
    return join(batch, "x", in_height, "x", in_width, "x", in_channels, " -> ", out_height, "x", out_width, "x",
                out_channels, ", kernel ", kernel_height, "x", kernel_width, ", stride ", stride, ", padding ", padding,
                ", dilation ", dilation, ", groups ", groups);
  }
};

VERGENCE_BOTH inline ConvAxis forward_axis(const ConvSizes& sizes, int in, int out, int kernel) {
  return {out, 0, 1, in, sizes.stride, -sizes.padding, sizes.dilation, kernel, 0, 1};
}

/// Input rows with `remainder` modulo the stride.
VERGENCE_BOTH inline ConvAxis data_axis(const ConvSizes& sizes, int in, int out, int kernel, int remainder) {
  const int stride = sizes.stride, dilation = sizes.dilation;
  int common = stride;  // the greatest common divisor of both
  for (int other = dilation; other != 0;) {
    const int rest = common % other;
    common = other;
    other = rest;
  }
  const int tap_step = stride / common, reach = remainder + sizes.padding;
  int tap_first = 0;  // the first tap, if any, at a whole number of strides from the pixel
  while (tap_first < tap_step && (reach - dilation * tap_first) % stride != 0) ++tap_first;
  const bool any = tap_first < tap_step && tap_first < kernel;
  ConvAxis axis;
  axis.positions = remainder < in ? (in - remainder - 1) / stride + 1 : 0;
  axis.out_first = remainder;
  axis.out_step = stride;
  axis.source_size = out;
  axis.scale = 1;
  axis.first = any ? (reach - dilation * tap_first) / stride : 0;
  axis.step = -dilation / common;
  axis.taps = any ? (kernel - tap_first - 1) / tap_step + 1 : 0;
  axis.tap_first = tap_first;
  axis.tap_step = tap_step;
  return axis;
}

/// The walk that computes y (`data` false; one class) or dx (one class per remainder of row and column).
template <bool data>
VERGENCE_BOTH ConvWalk conv_walk(const ConvSizes& s, int class_index) {
  ConvWalk walk;
  if constexpr (data) {
    walk.rows = data_axis(s, s.in_height, s.out_height, s.kernel_height, class_index / s.stride);
    walk.cols = data_axis(s, s.in_width, s.out_width, s.kernel_width, class_index % s.stride);
    walk.cols.step = walk.rows.step;  // they are the same: this saves registers
    walk.cols.tap_step = walk.rows.tap_step;
    walk.out_height = s.in_height;
    walk.out_width = s.in_width;
  } else {
    walk.rows = forward_axis(s, s.in_height, s.out_height, s.kernel_height);
    walk.cols = forward_axis(s, s.in_width, s.out_width, s.kernel_width);
    walk.out_height = s.out_height;
    walk.out_width = s.out_width;
  }
  walk.first_tap = walk.rows.tap_first * s.kernel_width + walk.cols.tap_first;
  walk.pixels = s.batch * walk.rows.positions * walk.cols.positions;
  return walk;
}

/// A pixel of a walk.
struct ConvPixel {
  std::int64_t image;
  int row, col;  // positions
};
__device__ inline ConvPixel pixel_of(const ConvWalk& walk, std::int64_t pixel) {
  const std::int64_t line = quotient(pixel, walk.cols.positions), image = quotient(line, walk.rows.positions);
  return {image, static_cast<int>(line - image * walk.rows.positions),
          static_cast<int>(pixel - line * walk.cols.positions)};
}
/// Advances a pixel by `step`, the pixel_of a distance: an addition of three-digit numbers, without divisions.
__device__ inline void advance(const ConvWalk& walk, const ConvPixel& step, ConvPixel& pixel) {
  pixel.col += step.col;
  const int carry = pixel.col >= walk.cols.positions;
  pixel.col -= carry ? walk.cols.positions : 0;
  pixel.row += step.row + carry;
  pixel.image += step.image;
  if (pixel.row >= walk.rows.positions) {
    pixel.row -= walk.rows.positions;
    ++pixel.image;
  }
}
/// Its index among the pixels of the output.
__device__ inline std::int64_t place_of(const ConvWalk& walk, const ConvPixel& pixel) {
  const std::int64_t row = walk.rows.out_first + std::int64_t{pixel.row} * walk.rows.out_step;
  return (pixel.image * walk.out_height + row) * walk.out_width + walk.cols.out_first + pixel.col * walk.cols.out_step;
}

/// The origin of a pixel's taps: the source of tap (0, 0), which may be outside.
struct ConvOrigin {
  int image, row, col;
};
constexpr int nowhere = -(1 << 30);  // a row that no tap brings inside
__device__ inline ConvOrigin origin_of(const ConvWalk& walk, const ConvPixel& at) {
  return {static_cast<int>(at.image), at.row * walk.rows.scale + walk.rows.first,
          at.col * walk.cols.scale + walk.cols.first};
}
__device__ inline ConvOrigin origin_of(const ConvWalk& walk, std::int64_t pixel) {
  return pixel < walk.pixels ? origin_of(walk, pixel_of(walk, pixel)) : ConvOrigin{0, nowhere, 0};
}
/// The source pixel of a tap; -1 for padding.
__device__ inline std::int64_t source_of(const ConvWalk& walk, const ConvOrigin& origin, int tap_row, int tap_col) {
  const int row = origin.row + tap_row * walk.rows.step, col = origin.col + tap_col * walk.cols.step;
  if (row < 0 || row >= walk.rows.source_size || col < 0 || col >= walk.cols.source_size) return -1;
  return (std::int64_t{origin.image} * walk.rows.source_size + row) * walk.cols.source_size + col;
}
/// The tap's index in the kernel.
__device__ inline int tap_of(const ConvWalk& walk, const ConvSizes& sizes, int tap_row, int tap_col) {
  return walk.first_tap + tap_row * walk.rows.tap_step * sizes.kernel_width + tap_col * walk.cols.tap_step;
}

}  // namespace vergence::VERGENCE_GPU
