// Convolution by im2col, a matrix product of unfolded patches, for bf16 on processors whose matrix units make it faster
// than the library's direct convolution (small images with many channels, strided gradients).
#pragma once

#include "kernels/backend.h"

namespace vergence {

/// One pass of a bf16 convolution with groups 1. `first` is x (forward, weight) or g (data); `second` is w (forward,
/// data) or g (weight); `out` is y, dx or dw. Products and temporary memory come from `backend`.
void unfold_conv(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out,
                 Backend& backend);

}  // namespace vergence
