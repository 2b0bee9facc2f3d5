// What the user asked for of the kernels, for the whole process: set once, read at every call. Which kernel then runs
// is decided by kernels/cpu/conv/rules.h and kernels/cuda/rules.h. Plain C++: part of every build.
#pragma once

#include "kernels/types.h"

namespace vergence {

/// `--cpu-conv`. `direct` forces f32 and bf16 convolutions; `winograd` f32 ones, where it exists.
enum class CpuConv { automatic, direct, winograd };

void set_cpu_conv(CpuConv choice);
CpuConv cpu_conv();

/// `--conv`. `cudnn` asks for the library wherever it has the case and `cuda` for our own kernels everywhere. The
/// library computes bf16 alone: f64 and f32 run on our own kernels whatever was asked for, and so does bf16 where cuDNN
/// has no engine for the shape. Where there is no cuDNN at all, `cudnn` is an error and `automatic` means `cuda`.
enum class CudaConv { automatic, cuda, cudnn };

void set_cuda_conv(CudaConv choice);
CudaConv cuda_conv();

/// How f32 is multiplied on the GPU: as it is, or with both operands rounded to tf32 on tensor cores: in matrix
/// products alone, or in convolutions too.
enum class CudaMath { fp32, tf32_products, tf32 };

void set_cuda_math(CudaMath math);
CudaMath cuda_math();

/// `--weight-gradients`, f32 or bf16: to what the library may round the weight gradient of a bf16 convolution. Our own
/// kernels never round it. f32 unless set.
void set_cuda_weight_gradients(DType type);
DType cuda_weight_gradients();

/// Bitwise repeatable results. Our own kernels always are; the library may then take only engines that are.
void set_cuda_deterministic(bool deterministic);
bool cuda_deterministic();

}  // namespace vergence
