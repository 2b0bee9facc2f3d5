// Applies view operations to the bytes of a whole image.
#pragma once

#include <cstdint>

#include "kernels/views.h"

namespace vergence {

/// Applies a plan to a whole image and ignores its crop. `image` and `out` are size x size x channels bytes, rounded to
/// the nearest.
void apply_to_bytes(ViewPlan plan, const std::uint8_t* image, std::int64_t size, std::int64_t channels,
                    std::uint8_t* out);

}  // namespace vergence
