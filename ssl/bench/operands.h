// The operands of `bench`: values like those of training. Zeros and constants would switch fewer transistors, so a GPU
// would run at a higher clock.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"

namespace vergence {

/// Returns `count` (even) normally distributed values; the same seed gives the same values.
std::vector<float> normal_values(std::size_t count, std::uint64_t seed);

/// The distribution of an array's values.
enum class Content {
  normal,
  rectified,  // normal values after a ReLU: half are zeros
  padded,     // pixels of 8 channels; the last five are zeros
};

/// Returns [size]: a quarter of a million values, repeated.
Tensor random_operand(Backend& backend, std::int64_t size, DType dtype = DType::f32, Content content = Content::normal);
/// Returns [bytes], u8: random bits.
Tensor random_bits(Backend& backend, std::int64_t bytes);

}  // namespace vergence
