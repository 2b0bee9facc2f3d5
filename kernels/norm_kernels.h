// What batch norm offers beside the contract: a forward pass that takes the statistics from the convolution before it.
#pragma once

#include "kernels/conv_kernels.h"

namespace vergence::VERGENCE_GPU {

/// A training batch norm of x, the output of a convolution that has left the moments of its tiles in `given`: x is read
/// once. mean, rstd and y are written as by CudaBackend::batch_norm. False, with nothing done, unless x is bf16 and no
/// tile lies in two statistic groups.
bool batch_norm_of_tiles(Device& device, const NormShape& shape, const ConvStatistics& given, ConstArray x,
                         ConstArray gamma, ConstArray beta, ConstArray add, Array mean, Array rstd, Array y,
                         Array positive);

}  // namespace vergence::VERGENCE_GPU
