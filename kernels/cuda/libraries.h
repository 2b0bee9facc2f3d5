// NVIDIA's libraries for the CUDA backend. Each function returns false if the library does not support the case, or if
// this build or machine has no such library: then our own kernel runs. The emulated device has none.
#pragma once

#include <string>

#include "kernels/cuda/device.h"

namespace vergence::VERGENCE_GPU {

/// cuBLASLt, as Backend::gemm. Without bias or with an [n] bias of out's type. math: the mode for f32.
bool library_gemm(Device& device, CudaMath math, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n,
                  std::int64_t k, ConstArray a, ConstArray b, ConstArray bias, Array out);

/// Whether a library can be used on a device.
struct LibraryState {
  bool ready = false;
  std::string text;  // "cuDNN 9.19"; otherwise the reason, or empty if no library was expected
};

/// The library for convolutions: the first call loads it and prepares it for the device.
const LibraryState& conv_library(Device& device);

/// cuDNN, bf16: all operands are bf16 except dw, which may be f32, for which cuDNN has few engines. `w` is already
/// bf16. `choices`: whether results must repeat, and whether plans are timed. add: adds to what the result holds.
bool library_conv2d(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray x, ConstArray w,
                    Array y, bool add);
bool library_conv2d_data(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray g,
                         ConstArray w, Array dx, bool add);
bool library_conv2d_weight(Device& device, const KernelChoices& choices, const ConvShape& shape, ConstArray x,
                           ConstArray g, Array dw);

}  // namespace vergence::VERGENCE_GPU
