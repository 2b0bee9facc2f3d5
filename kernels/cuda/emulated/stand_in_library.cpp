// The emulated device has no cuBLASLt: its own kernels run instead.
#include "kernels/cuda/emulated/stand_in_library.h"

#include "kernels/cuda/conv/kernels.h"

namespace vergence::emulated {
namespace {

/// True if cuDNN could support it: bf16 throughout, except for a weight gradient.
bool takes(ConstArray first, ConstArray second, ConstArray third) {
  return stand_in_library().state.ready && first.dtype == DType::bf16 && second.dtype == DType::bf16 &&
         third.dtype == DType::bf16;
}

}  // namespace

StandInLibrary& stand_in_library() {
  static StandInLibrary library;
  return library;
}

bool library_gemm(Device&, CudaMath, bool, bool, std::int64_t, std::int64_t, std::int64_t, ConstArray, ConstArray,
                  ConstArray, Array) {
  return false;
}

const LibraryState& conv_library(Device&) { return stand_in_library().state; }

bool library_conv2d(Device& device, const KernelChoices&, const ConvShape& shape, ConstArray x, ConstArray w, Array y,
                    bool add) {
  if (!takes(x, w, y)) return false;
  plain_conv2d(device, shape, x, w, y, add);
  return true;
}

bool library_conv2d_data(Device& device, const KernelChoices&, const ConvShape& shape, ConstArray g, ConstArray w,
                         Array dx, bool add) {
  if (!takes(g, w, dx)) return false;
  plain_conv2d_data(device, shape, g, w, dx, add);
  return true;
}

bool library_conv2d_weight(Device& device, const KernelChoices&, const ConvShape& shape, ConstArray x, ConstArray g,
                           Array dw) {
  if (!takes(x, g, x)) return false;
  stand_in_library().weight_gradients.push_back(dw.dtype);
  plain_conv2d_weight(device, shape, x, g, dw);
  return true;
}

}  // namespace vergence::emulated
