#include "kernels/choices.h"

#include <atomic>

namespace vergence {

namespace {

std::atomic<CpuConv> conv_on_cpu{CpuConv::automatic};
std::atomic<CudaConv> conv_on_gpu{CudaConv::automatic};
std::atomic<CudaMath> math_of_f32{CudaMath::fp32};
std::atomic<DType> weight_gradients{DType::f32};
std::atomic<bool> repeatable{false};

}  // namespace

void set_cpu_conv(CpuConv choice) { conv_on_cpu = choice; }
CpuConv cpu_conv() { return conv_on_cpu; }
void set_cuda_conv(CudaConv choice) { conv_on_gpu = choice; }
CudaConv cuda_conv() { return conv_on_gpu; }
void set_cuda_math(CudaMath math) { math_of_f32 = math; }
CudaMath cuda_math() { return math_of_f32; }
void set_cuda_weight_gradients(DType type) { weight_gradients = type; }
DType cuda_weight_gradients() { return weight_gradients; }
void set_cuda_deterministic(bool deterministic) { repeatable = deterministic; }
bool cuda_deterministic() { return repeatable; }

}  // namespace vergence
