// View operations on the bytes of a whole image.
#pragma once

#include <cstdint>

#include "kernels/views.h"

namespace vergence {

/// Carries a plan out on a whole image, whatever its crop says: `image` and `out` are size x size x channels bytes,
/// rounded to the nearest.
void apply_to_bytes(ViewPlan plan, const std::uint8_t* image, std::int64_t size, std::int64_t channels,
                    std::uint8_t* out);

}  // namespace vergence
