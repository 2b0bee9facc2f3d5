// For tests of our own convolution kernels where the library would be chosen.
#pragma once

#include "kernels/choices.h"

namespace vergence::test {

/// While one of these lives, convolutions run on our own kernels.
class OwnKernels {
 public:
  OwnKernels() { set_cuda_conv(CudaConv::cuda); }
  ~OwnKernels() { set_cuda_conv(before_); }

 private:
  CudaConv before_ = cuda_conv();
};

}  // namespace vergence::test
