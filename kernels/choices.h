// What the user asked for of a device's kernels: Backend::set_choices, read at every call. Which kernel then runs is
// decided by kernels/cpu/conv/rules.h and kernels/cuda/rules.h. Plain C++: part of every build.
#pragma once

#include <memory>

#include "kernels/types.h"

namespace vergence {

class ConvTuning;  // kernels/conv_tuning.h

/// `--cpu-conv`. `direct` forces f32 and bf16 convolutions; `winograd` f32 ones, where it exists.
enum class CpuConv { automatic, direct, winograd };

/// `--conv`. `cudnn` asks for the library wherever it has the case and `cuda` for our own kernels everywhere. The
/// library computes bf16 alone: f64 and f32 run on our own kernels whatever was asked for, and so does bf16 where cuDNN
/// has no engine for the shape. Where there is no cuDNN at all, `cudnn` is an error and `automatic` means `cuda`.
enum class CudaConv { automatic, cuda, cudnn };

/// How f32 is multiplied on the GPU: as it is, or with both operands rounded to tf32 on tensor cores: in matrix
/// products alone, or in convolutions too.
enum class CudaMath { fp32, tf32_products, tf32 };

/// For one device. Each device reads what concerns it.
struct KernelChoices {
  CpuConv cpu_conv = CpuConv::automatic;
  CudaConv cuda_conv = CudaConv::automatic;
  CudaMath math = CudaMath::fp32;
  /// `--weight-gradients`, f32 or bf16: to what the library may round the weight gradient of a bf16 convolution. Our
  /// own kernels never round it.
  DType weight_gradients = DType::f32;
  /// Bitwise repeatable results. Our own kernels always are; the library may then take only engines that are.
  bool deterministic = false;
  /// `--tune`: times the algorithms of convolutions and keeps the choices. Without it the fixed rules choose.
  std::shared_ptr<ConvTuning> tuning = nullptr;
};

}  // namespace vergence
