// The emulated device has no cuBLASLt and no cuDNN: its own kernels run.
#include "kernels/cuda_libraries.h"

namespace vergence::emulated {

bool library_gemm(Device&, bool, bool, std::int64_t, std::int64_t, std::int64_t, ConstArray, ConstArray, ConstArray,
                  Array) {
  return false;
}
bool library_convolves() { return false; }
bool library_conv2d(Device&, const ConvShape&, ConstArray, ConstArray, Array) { return false; }
bool library_conv2d_data(Device&, const ConvShape&, ConstArray, ConstArray, Array) { return false; }
bool library_conv2d_weight(Device&, const ConvShape&, ConstArray, ConstArray, Array) { return false; }

}  // namespace vergence::emulated
