// A fixed rule, based on measurements, chooses the algorithm of a convolution by its shape, pass and type. It never
// times anything at run time, so the same command gives the same bits. (`--tune` does: conv_tuning.h.)
#pragma once

#include "kernels/backend.h"
#include "kernels/choices.h"

namespace vergence {

/// How the CPU computes one pass.
enum class CpuConvAlgorithm {
  direct,    // the library's direct convolution (plain loops for f64 and without the library)
  winograd,  // winograd.h: f32, 3x3, stride 1
  unfold,    // unfold.h: im2col for bf16, patches gathered into a matrix, then a matrix product
};

/// True if winograd.h can compute the shape: 3x3, stride, padding, dilation and groups 1, channels in whole vectors.
bool winograd_applies(const ConvShape& shape);

/// True if `algorithm` can compute this pass on this processor. `type` is the type of the activations.
bool cpu_conv_applies(CpuConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type);

/// The rule, unless the user's choice overrides it. `type` is the type of the activations.
CpuConvAlgorithm choose_cpu_conv(const ConvShape& shape, ConvPass pass, DType type, CpuConv choice);

}  // namespace vergence
