// Which kernels run on the GPU: what the user asked for, and a fixed rule by shape, pass and type. Like conv_rules.h,
// it never times anything, so the same command gives the same choice. Plain C++: part of every build.
#pragma once

#include "kernels/conv_rules.h"

namespace vergence {

/// `--conv`. `cudnn` asks for the library wherever it has the case and `cuda` for our own kernels everywhere. The
/// library computes bf16 alone: f64 and f32 run on our own kernels whatever was asked for, and so does bf16 where cuDNN
/// has no engine for the shape. Where there is no cuDNN at all, `cudnn` is an error and `automatic` means `cuda`.
enum class CudaConv { automatic, cuda, cudnn };

/// How f32 is multiplied on the GPU: as it is, or with both operands rounded to tf32 on tensor cores: in matrix
/// products alone, or in convolutions too.
enum class CudaMath { fp32, tf32_products, tf32 };

/// Set for the whole process; read at every call.
void set_cuda_conv(CudaConv choice);
CudaConv cuda_conv();
void set_cuda_math(CudaMath math);
CudaMath cuda_math();
/// `--weight-gradients`, f32 or bf16: to what the library may round the weight gradient of a bf16 convolution. Our own
/// kernels never round it. f32 unless set.
void set_cuda_weight_gradients(DType type);
DType cuda_weight_gradients();
/// Bitwise repeatable results. Our own kernels always are; the library may then take only engines that are.
void set_cuda_deterministic(bool deterministic);
bool cuda_deterministic();

/// Who computes a convolution, in the order in which they are tried: each that lacks the case leaves it to the next.
enum class CudaConvAlgorithm {
  library,  // cuda_libraries.h: bf16
  tensor,   // conv_tensor.cu: bf16, and f32 as tf32; channels in 16-byte vectors, one group
  plain,    // conv_plain.cu: everything
};

/// True where `algorithm` may have this pass; the library may still lack an engine. `type`: of the activations.
bool cuda_conv_applies(CudaConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type);

/// The first to be tried. `type` is the type of the activations.
CudaConvAlgorithm choose_cuda_conv(const ConvShape& shape, ConvPass pass, DType type);

}  // namespace vergence
