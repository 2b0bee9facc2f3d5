// Rounding to bf16: one instruction on a GPU where ptx.h's rules hold, integer arithmetic elsewhere. Separate from
// ptx.h because every element type needs it.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define VERGENCE_BOTH __host__ __device__
#else
#define VERGENCE_BOTH
#endif

namespace vergence {

/// The bits of the bf16 next to `value`; ties to even. NaN gives a NaN.
VERGENCE_BOTH inline std::uint16_t round_to_bf16(float value) {
#ifdef __CUDA_ARCH__
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
#else
  std::uint32_t word;
  std::memcpy(&word, &value, sizeof word);
  const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
  return static_cast<std::uint16_t>(nan ? (word >> 16 | 0x40u) : (word + 0x7fffu + (word >> 16 & 1u)) >> 16);
#endif
}

/// Two values at once, also in one instruction: `first` goes to the lower half.
VERGENCE_BOTH inline std::uint32_t round_pair_to_bf16(float first, float second) {
#ifdef __CUDA_ARCH__
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return round_to_bf16(first) | std::uint32_t{round_to_bf16(second)} << 16;
#endif
}

}  // namespace vergence
