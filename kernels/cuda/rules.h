// Which kernels run on the GPU: a fixed rule by shape, pass and type, unless the user's choice overrides it. Like
// kernels/cpu/conv/rules.h, it never times anything, so the same command gives the same choice. Plain C++: part of
// every build.
#pragma once

#include "kernels/backend.h"
#include "kernels/choices.h"

namespace vergence {

/// The implementations of a convolution, in the order of trial: each leaves unsupported cases to the next.
enum class CudaConvAlgorithm {
  library,  // libraries.h: bf16
  tensor,   // kernels/cuda/conv/tensor.cu: bf16, and f32 as tf32; channels in 16-byte vectors, one group
  plain,    // kernels/cuda/conv/plain.cu: everything
};

/// True if `algorithm` may compute this pass; the library may still lack an engine. `type`: of the activations.
bool cuda_conv_applies(CudaConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type,
                       const KernelChoices& choices);

/// The first algorithm to try. `type` is the type of the activations.
CudaConvAlgorithm choose_cuda_conv(const ConvShape& shape, ConvPass pass, DType type, const KernelChoices& choices);

}  // namespace vergence
