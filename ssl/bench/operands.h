// What `bench` computes with: values like those of training. Zeros and constants switch fewer transistors, so that a
// GPU would run at a higher clock on them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"

namespace vergence {

/// `count` (even) normally distributed values, the same for the same seed.
std::vector<float> normal_values(std::size_t count, std::uint64_t seed);

/// What an array holds.
enum class Content {
  normal,
  rectified,  // normal values after a ReLU: half of them zeros
  padded,     // pixels of 8 channels, the last five of them zeros
};

/// [size]; the same quarter of a million values over and over.
Tensor random_operand(Backend& backend, std::int64_t size, DType dtype = DType::f32, Content content = Content::normal);
/// [bytes], u8: random bits.
Tensor random_bits(Backend& backend, std::int64_t bytes);

}  // namespace vergence
