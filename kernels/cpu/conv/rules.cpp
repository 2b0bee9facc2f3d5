// The fixed choice of convolution algorithms. Milliseconds measured on 2 cores of a Xeon with AVX-512 and AMX, 2
// threads, 128 images (the last three 3x3 rows: 512), forward / data / weight, weights reordered or transformed in
// every call:
//
//   3x3 layers                  f32 direct       f32 Winograd      bf16 direct       bf16 unfolded
//    64 ->  64, 32x32           32 / 42 / 37     11 / 11 / 11      3.1 / 3.3 / 6.2   10 / 9.1 / 25
//   128 -> 128, 16x16           31 / 36 / 27     10 / 11 / 11      2.8 / 3.6 / 7.7   7.0 / 7.1 / 12
//   256 -> 256,  8x8            26 / 33 / 32     9.0 / 8.8 / 9.4   3.5 / 4.6 / 11    6.3 / 6.8 / 7.8
//   512 -> 512,  4x4            35 / 29 / 42     12 / 11 / 10      13 / 19 / 45      6.5 / 7.7 / 7.4
//    64 -> 128, 32x32 stride 2  19 / 20 / 27                       1.9 / 5.1 / 9.4   3.7 / 6.2 / 8.3
//   128 -> 256, 16x16 stride 2  18 / 19 / 23                       2.8 / 5.2 / 14    3.1 / 4.3 / 4.3
//   256 -> 512,  8x8  stride 2  22 / 17 / 26                       4.8 / 11 / 31     2.8 / 3.6 / 4.2
//    16 ->  16, 32x32           7.5 / 8.0 / 7.7  5.8 / 5.6 / 5.5   1.7 / 2.0 / 3.4
//    64 ->  64,  8x8            8.7 / 8.6 / 12   2.7 / 2.7 / 2.9   1.0 / 1.2 / 4.5   2.9 / 2.6 / 5.9
//   128 -> 128,  4x4            6.0 / 6.2 / 7.7  2.6 / 2.5 / 3.1   1.4 / 2.4 / 7.6   1.8 / 1.7 / 3.0
//   1x1 layers, stride 2
//    64 -> 128, 32x32                                              0.5 / 1.4 / 3.1   0.8 / 1.4 / 1.2
//   128 -> 256, 16x16                                              0.4 / 1.4 / 4.0   0.4 / 0.8 / 0.8
//   256 -> 512,  8x8                                               0.4 / 1.3 / 5.8   0.3 / 0.5 / 0.4
#include "kernels/cpu/conv/rules.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/simd.h"

#ifndef VERGENCE_PLAIN_CPU
#include <dnnl.hpp>
#endif

namespace vergence {

namespace {

#ifndef VERGENCE_PLAIN_CPU
/// True if the library can use these instructions here.
bool has(dnnl::cpu_isa instructions) {
  static const auto there = static_cast<unsigned>(dnnl::get_effective_cpu_isa());  // a set of bits
  const auto needed = static_cast<unsigned>(instructions);
  return (there & needed) == needed;
}
#endif

/// Unfolding needs fast bf16 products: without AMX the library's direct convolution is faster.
bool has_matrix_unit() {
#ifdef VERGENCE_PLAIN_CPU
  return false;
#else
  return has(dnnl::cpu_isa::avx512_core_amx);
#endif
}

/// True if the tiles are mostly image, and enough tiles share the cost of transforming the weights.
bool winograd_pays(const ConvShape& s) {
  const std::int64_t tiles = ((s.in_height + 3) / 4) * ((s.in_width + 3) / 4);
  return 2 * s.in_height * s.in_width >= 16 * tiles && s.batch * tiles >= 16;
}

/// Products whose depth is not a multiple of 32 do not run on the matrix unit.
bool unfolding_applies(const ConvShape& s, ConvPass pass) {
  return has_matrix_unit() && s.groups == 1 && s.in_channels % 32 == 0 && s.out_channels % 32 == 0 &&
         (pass != ConvPass::weight || s.batch * s.out_height() * s.out_width() % 32 == 0);
}

/// True for few pixels with many channels, and for strided gradients.
bool unfolding_pays(const ConvShape& s, ConvPass pass) {
  const std::int64_t cells = s.out_height() * s.out_width(), ins = s.in_channels;
  const bool tiny = cells <= 16, small = cells <= 64, strided = s.stride > 1;
  switch (pass) {
    case ConvPass::forward:
      return tiny && ins >= 256 && s.kernel_height * s.kernel_width > 1;
    case ConvPass::data:
      return (tiny && ins >= 128) || (strided && ((tiny && ins >= 64) || (small && ins >= 128)));
    case ConvPass::weight:
      return strided || (tiny && ins >= 128) || (small && ins >= 256);
  }
  return false;
}

}  // namespace

bool CpuBackend::multiplies_bf16() {
#ifdef VERGENCE_PLAIN_CPU
  return false;
#else
  return has(dnnl::cpu_isa::avx512_core_bf16);
#endif
}

bool winograd_applies(const ConvShape& s) {
  return s.kernel_height == 3 && s.kernel_width == 3 && s.stride == 1 && s.padding == 1 && s.dilation == 1 &&
         s.groups == 1 && s.in_channels % float_lanes == 0 && s.out_channels % float_lanes == 0;
}

bool cpu_conv_applies(CpuConvAlgorithm algorithm, const ConvShape& s, ConvPass pass, DType type) {
  switch (algorithm) {
    case CpuConvAlgorithm::direct:
      return true;
    case CpuConvAlgorithm::winograd:
      return type == DType::f32 && winograd_applies(s);
    case CpuConvAlgorithm::unfold:
      return type == DType::bf16 && unfolding_applies(s, pass);
  }
  return false;
}

CpuConvAlgorithm choose_cpu_conv(const ConvShape& s, ConvPass pass, DType type, CpuConv choice) {
  if (choice == CpuConv::direct) return CpuConvAlgorithm::direct;
  if (cpu_conv_applies(CpuConvAlgorithm::winograd, s, pass, type) && (choice == CpuConv::winograd || winograd_pays(s)))
    return CpuConvAlgorithm::winograd;
  if (cpu_conv_applies(CpuConvAlgorithm::unfold, s, pass, type) && unfolding_pays(s, pass))
    return CpuConvAlgorithm::unfold;
  return CpuConvAlgorithm::direct;
}

}  // namespace vergence
