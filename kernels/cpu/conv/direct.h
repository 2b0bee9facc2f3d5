// Direct convolution by oneDNN on NHWC activations, f32 and bf16.
#pragma once

#include "kernels/backend.h"

namespace vergence {

/// One pass: `first` is x (forward, weight) or g (data), `second` w (forward, data) or g (weight), `out` y, dx or dw.
/// Returns false, having done nothing, if oneDNN has no tuned and correct kernel here. `pool`: for temporary memory.
bool onednn_conv(const ConvShape& shape, ConvPass pass, ConstArray first, ConstArray second, Array out, Backend& pool);

}  // namespace vergence
