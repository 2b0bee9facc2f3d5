// The user's choices for a device's kernels: Backend::set_choices, read at every call. kernels/cpu/conv/rules.h and
// kernels/cuda/rules.h then decide which kernel runs. Plain C++: part of every build.
#pragma once

#include <memory>

#include "kernels/types.h"

namespace vergence {

class ConvTuning;  // kernels/conv_tuning.h

/// `--cpu-conv`. `direct`: always direct convolution. `winograd`: Winograd for all f32 convolutions that it supports.
enum class CpuConv { automatic, direct, winograd };

/// `--conv`. `cuda`: our own kernels. `cudnn`: cuDNN for every bf16 shape that it supports, our own kernels for the
/// rest; an error without cuDNN. `automatic`: the rule in kernels/cuda/rules.h, or `cuda` without cuDNN.
enum class CudaConv { automatic, cuda, cudnn };

/// How the GPU multiplies f32: as it is, or with both operands rounded to tf32 on tensor cores, either only in matrix
/// products or in convolutions too.
enum class CudaMath { fp32, tf32_products, tf32 };

/// The choices for one device. Each device reads those that concern it.
struct KernelChoices {
  CpuConv cpu_conv = CpuConv::automatic;
  CudaConv cuda_conv = CudaConv::automatic;
  CudaMath math = CudaMath::fp32;
  /// `--weight-gradients`, f32 or bf16: the type to which the library may round the weight gradient of a bf16
  /// convolution. Our own kernels never round it.
  DType weight_gradients = DType::f32;
  /// Bitwise repeatable results. Our own kernels always give them; the library is then limited to engines that do.
  bool deterministic = false;
  /// `--tune`: times the algorithms of convolutions and keeps the fastest. Without it the fixed rules choose.
  std::shared_ptr<ConvTuning> tuning = nullptr;
};

}  // namespace vergence
