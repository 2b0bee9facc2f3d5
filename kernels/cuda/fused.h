// The data that the GPU's convolutions and batch norms pass to each other, and the call that uses it.
#pragma once

#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {

/// The moments of y, bf16, per channel and tile of pixels, written by the forward pass for batch norm. They are
/// computed from the stored values and centered within their tile, so nothing cancels even with a large mean. Both
/// buffers are [ceil(pixels / conv_statistics_rows)][out_channels]; the last tile may have fewer pixels. Null: not
/// wanted.
struct ConvStatistics {
  float* mean = nullptr;
  float* squares = nullptr;  // sums of squared deviations from the tile's mean
};
constexpr int conv_statistics_rows = 128;

/// The work that a batch norm with ReLU (output x, input raw) leaves to the data gradient. dx is zeroed where a bit of
/// `positive` is not set (bit i % 8 of byte i / 8). For each tile of conv_statistics_rows pixels, the sums of dx and of
/// dx (raw - mean) go to sums[unit][2][in_channels]. A tile is within one class (kernels/cuda/conv/walk.h) and within
/// one of `groups` equal runs of images, which selects its row of `mean`, (groups, in_channels). Units are numbered
/// through the classes of a group, group after group. Null: not wanted.
struct ConvReluSums {
  const bf16* raw = nullptr;
  const std::uint8_t* positive = nullptr;
  const float* mean = nullptr;
  float* sums = nullptr;
  int groups = 1;
};

/// True if a batch norm of such activations can use the moments of a convolution's tiles: it is a training one, they
/// are bf16, and no tile spans two statistic groups.
inline bool norm_takes_tiles(const NormShape& shape, DType activations) {
  return shape.training && activations == DType::bf16 && (shape.groups == 1 || shape.rows % conv_statistics_rows == 0);
}

/// A training batch norm of x, the output of a convolution that wrote the moments of its tiles to `given`: reads x only
/// once. Writes mean, rstd and y like CudaBackend::batch_norm. Returns false, having done nothing, unless
/// `norm_takes_tiles`.
bool batch_norm_of_tiles(Device& device, const NormShape& shape, const ConvStatistics& given, ConstArray x,
                         ConstArray gamma, ConstArray beta, ConstArray add, Array mean, Array rstd, Array y,
                         Array positive, const RunningUpdate& running);

}  // namespace vergence::VERGENCE_GPU
