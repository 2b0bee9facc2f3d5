// The rule is a judgement, not a measurement: cuDNN's engines reach the tensor cores' speed where channels fill their
// tiles and waste most of them on a stem's few channels, which our own kernels pack along the depth of the product.
#include "kernels/cuda_rules.h"

#include <atomic>

namespace vergence {

namespace {

std::atomic<CudaConv> forced{CudaConv::automatic};
std::atomic<CudaMath> math_of_f32{CudaMath::fp32};
std::atomic<DType> weight_gradients{DType::f32};
std::atomic<bool> repeatable{false};

constexpr std::int64_t fewest_library_channels = 16;

/// Channels in whole 16-byte vectors on the sides that a pass reads.
bool tensor_applies(const ConvShape& s, ConvPass pass, DType type) {
  if (s.groups != 1 || !(type == DType::bf16 || (type == DType::f32 && math_of_f32 == CudaMath::tf32))) return false;
  const std::int64_t width = 16 / size_of(type);
  return (pass == ConvPass::data || s.in_channels % width == 0) &&
         (pass == ConvPass::forward || s.out_channels % width == 0);
}

bool library_pays(const ConvShape& s) {
  return s.groups == 1 && s.in_channels >= fewest_library_channels && s.out_channels >= fewest_library_channels;
}

}  // namespace

void set_cuda_conv(CudaConv choice) { forced = choice; }
CudaConv cuda_conv() { return forced; }
void set_cuda_math(CudaMath math) { math_of_f32 = math; }
CudaMath cuda_math() { return math_of_f32; }
void set_cuda_weight_gradients(DType type) { weight_gradients = type; }
DType cuda_weight_gradients() { return weight_gradients; }
void set_cuda_deterministic(bool deterministic) { repeatable = deterministic; }
bool cuda_deterministic() { return repeatable; }

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
  const CudaConv choice = forced;
  if (type == DType::bf16 && (choice == CudaConv::cudnn || (choice == CudaConv::automatic && library_pays(s))))
    return CudaConvAlgorithm::library;
  return tensor_applies(s, pass, type) ? CudaConvAlgorithm::tensor : CudaConvAlgorithm::plain;
}

}  // namespace vergence
