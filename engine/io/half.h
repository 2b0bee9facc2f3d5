// 16-bit floating point numbers of IEEE 754, NumPy's float16. Conversion is Eigen's.
#pragma once

#include <cstdint>

namespace vergence {

/// The nearest f16's bits, ties to even; beyond 65504 infinity.
std::uint16_t half_of(float value);
float float_of_half(std::uint16_t bits);

}  // namespace vergence
