// Winograd convolution F(4x4, 3x3) on NHWC f32: a quarter of the multiplications of the direct sum. The norm-relative
// error against exact arithmetic is 0.5e-6 to 1.7e-6 (direct: 1e-7 to 1e-6).
#pragma once

#include "kernels/backend.h"
#include "kernels/cpu/conv/rules.h"

namespace vergence {

/// One pass, if `winograd_applies` (rules.h). `first` is x (forward, weight) or g (data), `second` w (forward, data) or
/// g (weight), `out` y, dx or dw. Temporary memory comes from `pool`.
void winograd_conv(const ConvShape& shape, ConvPass pass, const float* first, const float* second, float* out,
                   Backend& pool);

}  // namespace vergence
