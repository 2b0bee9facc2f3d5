// The rule follows measurements of ResNet-18's convolutions (bf16, 1,024 images of 32x32, an H200, cuDNN 9.19). In 3x3
// convolutions of stride 1 after the stem, cuDNN reaches 380 to 690 TFLOP/s, our own kernels 150 to 300. In the stem,
// whose 8 channels our kernels pack along the depth of the product, cuDNN reaches 62 (forward) and 25 (weights), ours
// 158 and 168. For the weights of the 1x1 projection of 64 channels cuDNN reaches 57, ours 101; for 128 channels they
// tie.
#include "kernels/cuda/rules.h"

namespace vergence {

namespace {

constexpr std::int64_t fewest_library_channels = 16, fewest_projection_channels = 128;

/// True if the channels on the sides that a pass reads are whole 16-byte vectors.
bool tensor_applies(const ConvShape& s, ConvPass pass, DType type, CudaMath math) {
  if (s.groups != 1 || !(type == DType::bf16 || (type == DType::f32 && math == CudaMath::tf32))) return false;
  const std::int64_t width = 16 / size_of(type);
  return (pass == ConvPass::data || s.in_channels % width == 0) &&
         (pass == ConvPass::forward || s.out_channels % width == 0);
}

bool library_pays(const ConvShape& s, ConvPass pass) {
  const bool projection = s.kernel_height == 1 && s.kernel_width == 1 && s.stride > 1;
  if (projection && pass == ConvPass::weight && s.in_channels < fewest_projection_channels) return false;
  return s.groups == 1 && s.in_channels >= fewest_library_channels && s.out_channels >= fewest_library_channels;
}

}  // namespace

bool cuda_conv_applies(CudaConvAlgorithm algorithm, const ConvShape& shape, ConvPass pass, DType type,
                       const KernelChoices& choices) {
  switch (algorithm) {
    case CudaConvAlgorithm::library:
      return type == DType::bf16;
    case CudaConvAlgorithm::tensor:
      return tensor_applies(shape, pass, type, choices.math);
    case CudaConvAlgorithm::plain:
      break;
  }
  return true;
}

CudaConvAlgorithm choose_cuda_conv(const ConvShape& s, ConvPass pass, DType type, const KernelChoices& choices) {
  const CudaConv choice = choices.cuda_conv;
  if (type == DType::bf16 && (choice == CudaConv::cudnn || (choice == CudaConv::automatic && library_pays(s, pass))))
    return CudaConvAlgorithm::library;
  return tensor_applies(s, pass, type, choices.math) ? CudaConvAlgorithm::tensor : CudaConvAlgorithm::plain;
}

}  // namespace vergence
