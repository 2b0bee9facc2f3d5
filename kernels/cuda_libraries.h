// What NVIDIA's libraries compute for the CUDA backend. Each function returns false where the library does not have the
// case, or where the build has no such library: then our own kernel runs. The emulated device has none.
#pragma once

#include "kernels/cuda_device.h"

namespace vergence::VERGENCE_GPU {

/// cuBLASLt, as Backend::gemm. Without bias or with an [n] bias of out's type.
bool library_gemm(Device& device, bool transpose_a, bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
                  ConstArray a, ConstArray b, ConstArray bias, Array out);

/// Whether there is a library for convolutions at all.
bool library_convolves();

/// cuDNN, bf16: all operands bf16 but dw, which may be f32. `w` is in bf16 already.
bool library_conv2d(Device& device, const ConvShape& shape, ConstArray x, ConstArray w, Array y);
bool library_conv2d_data(Device& device, const ConvShape& shape, ConstArray g, ConstArray w, Array dx);
bool library_conv2d_weight(Device& device, const ConvShape& shape, ConstArray x, ConstArray g, Array dw);

}  // namespace vergence::VERGENCE_GPU
