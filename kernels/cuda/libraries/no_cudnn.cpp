// A build without cuDNN: our own convolutions run.
#include "kernels/cuda/libraries.h"

namespace vergence::cuda {

const LibraryState& conv_library(Device&) {
  static const LibraryState none{false, "this build has no cuDNN"};
  return none;
}
bool library_conv2d(Device&, const KernelChoices&, const ConvShape&, ConstArray, ConstArray, Array, bool) {
  return false;
}
bool library_conv2d_data(Device&, const KernelChoices&, const ConvShape&, ConstArray, ConstArray, Array, bool) {
  return false;
}
bool library_conv2d_weight(Device&, const KernelChoices&, const ConvShape&, ConstArray, ConstArray, Array) {
  return false;
}

}  // namespace vergence::cuda
