// Which algorithm runs a convolution: a fixed rule by shape, pass and type, made from measurements. It never times
// anything at run time, so the same command gives the same bits. (conv_tuning.h times, where asked to.)
#pragma once

#include "kernels/backend.h"

namespace vergence {

enum class ConvPass { forward, data, weight };

/// How the CPU computes one pass.
enum class CpuConvAlgorithm {
  direct,    // the library's direct convolution (plain loops where there is no library, and for f64)
  winograd,  // winograd.h: f32, 3x3, stride 1
  unfold,    // conv_unfold.h: bf16, patches gathered into a matrix, then a matrix product
};

/// What the user asked for (`--cpu-conv`). `direct` forces f32 and bf16 convolutions; `winograd` f32 ones, where it
/// exists.
enum class CpuConv { automatic, direct, winograd };

/// Sets the choice for the whole process; read at every convolution.
void set_cpu_conv(CpuConv choice);
CpuConv cpu_conv();

/// Whether this processor has instructions for products of bf16; without them bf16 is slower than f32 and saves memory
/// alone.
bool cpu_multiplies_bf16();

/// True where winograd.h can compute the shape: 3x3, stride, padding, dilation and groups 1, channels in whole vectors.
bool winograd_applies(const ConvShape& shape);

/// True where `algorithm` can compute this pass on this processor. `type` is the type of the activations.
bool cpu_conv_applies(CpuConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type);

/// The rule. `type` is the type of the activations.
CpuConvAlgorithm choose_cpu_conv(const ConvShape& shape, ConvPass pass, DType type);

}  // namespace vergence
