#include "engine/io/half.h"

#include <Eigen/Core>

namespace vergence {

std::uint16_t half_of(float value) { return Eigen::numext::bit_cast<std::uint16_t>(Eigen::half(value)); }

float float_of_half(std::uint16_t bits) { return static_cast<float>(Eigen::numext::bit_cast<Eigen::half>(bits)); }

}  // namespace vergence
