// The data that the GPU's convolutions and batch norms pass to each other, and the call that uses it.
#pragma once

#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {

class CudaBackend;

/// Moments of a convolution's stored bf16 output for batch norm, centered within each tile of conv_statistics_rows
/// pixels, so that nothing cancels. Both [ceil(pixels / conv_statistics_rows)][out_channels]; null if not wanted.
struct ConvStatistics {
  float* mean = nullptr;
  float* squares = nullptr;  // sums of squared deviations from the tile's mean
};
constexpr int conv_statistics_rows = 128;

/// What Backend::conv2d_data_relu adds to conv2d_data: it masks dx by `positive` and writes each tile's sums of dx and
/// of dx (raw - mean) to sums[unit][2][in_channels], unit after unit through a group's classes (conv/walk.h). A tile
/// has conv_statistics_rows pixels of one class and group; mean: (groups, in_channels). Null: not wanted.
struct ConvReluSums {
  const bf16* raw = nullptr;
  const std::uint8_t* positive = nullptr;
  const float* mean = nullptr;
  float* sums = nullptr;
  int groups = 1;
};

/// True if a batch norm can use the moments of a convolution's tiles: it is in training mode, the activations are bf16,
/// and no tile spans two statistic groups.
inline bool norm_takes_tiles(const NormShape& shape, DType activations) {
  return shape.training && activations == DType::bf16 && (shape.groups == 1 || shape.rows % conv_statistics_rows == 0);
}

/// CudaBackend::batch_norm in training mode, of a convolution's output x whose moments are `given`: reads x only once.
/// Returns false, having done nothing, unless `norm_takes_tiles`.
bool batch_norm_of_tiles(CudaBackend& gpu, const NormShape& shape, const ConvStatistics& given,
                         const BatchNormArrays& arrays);

}  // namespace vergence::VERGENCE_GPU
