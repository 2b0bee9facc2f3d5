// What the GPU's convolutions and batch norms hand each other: what one leaves, and the call that takes it.
#pragma once

#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {

/// The moments of y, bf16, per channel and tile of pixels, as batch norm would need them, from the forward pass: of the
/// values as stored, centered within their tile, so that nothing cancels however large the mean. Both buffers are
/// [ceil(pixels / conv_statistics_rows)][out_channels]; the last tile may have fewer pixels. Null: not wanted.
struct ConvStatistics {
  float* mean = nullptr;
  float* squares = nullptr;  // sums of squared deviations from the tile's mean
};
constexpr int conv_statistics_rows = 128;

/// What a batch norm with ReLU, whose output is x and whose input was raw, has the data gradient do: dx is cut off
/// where a bit of `positive` is not set (bit i % 8 of byte i / 8), and of each tile of conv_statistics_rows pixels the
/// sums over dx and over dx (raw - mean) go to sums[unit][2][in_channels]. Tiles lie in one class
/// (kernels/cuda/conv/walk.h) and in one of `groups` equal runs of images, which `mean`, (groups, in_channels), belongs
/// to; their units are counted through a group's classes, group after group. Null: not wanted.
struct ConvReluSums {
  const bf16* raw = nullptr;
  const std::uint8_t* positive = nullptr;
  const float* mean = nullptr;
  float* sums = nullptr;
  int groups = 1;
};

/// Whether a batch norm of such activations can take the moments of a convolution's tiles: it is a training one, they
/// are bf16, and no tile lies in two statistic groups.
inline bool norm_takes_tiles(const NormShape& shape, DType activations) {
  return shape.training && activations == DType::bf16 && (shape.groups == 1 || shape.rows % conv_statistics_rows == 0);
}

/// A training batch norm of x, the output of a convolution that has left the moments of its tiles in `given`: x is read
/// once. mean, rstd and y are written as by CudaBackend::batch_norm. False, with nothing done, unless it
/// `norm_takes_tiles`.
bool batch_norm_of_tiles(Device& device, const NormShape& shape, const ConvStatistics& given, ConstArray x,
                         ConstArray gamma, ConstArray beta, ConstArray add, Array mean, Array rstd, Array y,
                         Array positive, const RunningUpdate& running);

}  // namespace vergence::VERGENCE_GPU
