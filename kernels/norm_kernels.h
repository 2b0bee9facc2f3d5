// What batch norm offers beside the contract: a forward pass that takes the statistics from the convolution before it.
#pragma once

#include "kernels/conv_kernels.h"

namespace vergence::VERGENCE_GPU {

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
