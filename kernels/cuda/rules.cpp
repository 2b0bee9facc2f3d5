// The rule is a judgement, not a measurement: cuDNN's engines reach the tensor cores' speed where channels fill their
// tiles and waste most of them on a stem's few channels, which our own kernels pack along the depth of the product.
#include "kernels/cuda/rules.h"

namespace vergence {

namespace {

constexpr std::int64_t fewest_library_channels = 16;

/// Channels in whole 16-byte vectors on the sides that a pass reads.
bool tensor_applies(const ConvShape& s, ConvPass pass, DType type) {
  if (s.groups != 1 || !(type == DType::bf16 || (type == DType::f32 && cuda_math() == CudaMath::tf32))) return false;
  const std::int64_t width = 16 / size_of(type);
  return (pass == ConvPass::data || s.in_channels % width == 0) &&
         (pass == ConvPass::forward || s.out_channels % width == 0);
}

bool library_pays(const ConvShape& s) {
  return s.groups == 1 && s.in_channels >= fewest_library_channels && s.out_channels >= fewest_library_channels;
}

}  // namespace

bool cuda_conv_applies(CudaConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type) {
  switch (algorithm) {
    case CudaConvAlgorithm::library:
      return type == DType::bf16;
    case CudaConvAlgorithm::tensor:
      return tensor_applies(shape, pass, type);
    case CudaConvAlgorithm::plain:
      break;
  }
  return true;
}

CudaConvAlgorithm choose_cuda_conv(const ConvShape& s, ConvPass pass, DType type) {
  const CudaConv choice = cuda_conv();
  if (type == DType::bf16 && (choice == CudaConv::cudnn || (choice == CudaConv::automatic && library_pays(s))))
    return CudaConvAlgorithm::library;
  return tensor_applies(s, pass, type) ? CudaConvAlgorithm::tensor : CudaConvAlgorithm::plain;
}

}  // namespace vergence
