// The mask of a batch norm's fused ReLU: one bit per element, set where the output is positive.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/loops.h"

namespace vergence::VERGENCE_GPU {

/// bits[i / 8] receives y[8 (i / 8) + j] > 0 at bit j, for all `size` elements.
template <class T>
void store_relu_bits(Device& device, std::int64_t size, const T* y, std::uint8_t* bits);

/// The mask given to a backward pass: the bits as they are, or computed from the output's values. Null without ReLU.
class PositiveBits {
 public:
  PositiveBits(Device& device, const NormShape& shape, ConstArray y);
  const std::uint8_t* data() const { return bits_; }

 private:
  Scratch<std::uint8_t> packed_;
  const std::uint8_t* bits_ = nullptr;
};

/// Bit k, if `set`. A function, because g++ 12 with -fsanitize=undefined would check the shift of an inline expression
/// before it evaluates an index in the condition.
__device__ inline unsigned bit(bool set, int k) { return (set ? 1u : 0u) << k; }

/// The bits of a few neighboring elements, starting at element `place`; all set without ReLU.
template <bool relu>
struct ReluBits {
  unsigned bits = 0;

  __device__ void load(const std::uint8_t* positive, std::int64_t place) {
    if constexpr (relu) bits = static_cast<unsigned>(positive[place / 8]) >> (place % 8);
  }
  /// Element `place + k`, or 0 if the ReLU cut it off.
  template <class T>
  __device__ T masked(T value, int k) const {
    if constexpr (relu) return (bits >> k & 1u) != 0 ? value : T(0.0f);
    return value;
  }
  /// Elements `place` to `place + width - 1`, or 0 where the ReLU cut them off; pairs of bf16 as words.
  template <class T, int width>
  __device__ void mask(Pack<T, width>& values) const {
    if constexpr (relu && std::is_same_v<T, bf16> && width % 2 == 0) {
      std::uint32_t pairs[width / 2];
      memcpy(pairs, &values, sizeof pairs);
      const std::uint32_t spread = bits | bits << 15;  // bits 2k and 2k + 1 are now 16 apart, starting at bit 2k
#pragma unroll
      for (int k = 0; k < width / 2; ++k) pairs[k] &= (spread >> 2 * k & 0x10001u) * 0xffffu;
      memcpy(&values, pairs, sizeof pairs);
    } else {
#pragma unroll
      for (int k = 0; k < width; ++k) values.values[k] = masked(values.values[k], k);
    }
  }
};

}  // namespace vergence::VERGENCE_GPU
