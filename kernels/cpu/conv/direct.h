// Direct convolution by oneDNN on NHWC activations, f32 and bf16.
#pragma once

#include "kernels/backend.h"

namespace vergence {

/// One pass of a convolution. `first` is x (forward, weight) or g (data); `second` is w (forward, data) or g (weight);
/// `out` is y, dx or dw. Temporary memory comes from `pool`. Returns false, having done nothing, if oneDNN has no tuned
/// implementation for this case on this processor, or computes it wrongly.
bool onednn_conv(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& pool);

}  // namespace vergence
