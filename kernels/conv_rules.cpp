#include "kernels/conv_rules.h"

#include <atomic>

namespace vergence {
namespace {
std::atomic<CpuConv> choice{CpuConv::automatic};
}
void set_cpu_conv(CpuConv value) { choice = value; }
CpuConv cpu_conv() { return choice; }
bool winograd_applies(const ConvShape& s) {
  return s.kernel_height == 3 && s.kernel_width == 3 && s.stride == 1 && s.padding == 1 && s.dilation == 1 &&
         s.groups == 1 && s.in_channels % 16 == 0 && s.out_channels % 16 == 0;
}
CpuConvAlgorithm choose_cpu_conv(const ConvShape& s, ConvPass, DType type) {
  if (type == DType::f32 && cpu_conv() != CpuConv::direct && winograd_applies(s)) return CpuConvAlgorithm::winograd;
  return CpuConvAlgorithm::direct;
}
}  // namespace vergence
