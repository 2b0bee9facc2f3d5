// Converts bytes to a view and back.
#include "ssl/evaluation/robustness/changed_bytes.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace vergence {

void apply_to_bytes(ViewPlan plan, const std::uint8_t* image, std::int64_t size, std::int64_t channels,
                    std::uint8_t* out) {
  plan.crop = {0, 0, static_cast<std::int32_t>(size), static_cast<std::int32_t>(size)};
  std::vector<float> values(static_cast<std::size_t>(size * size * channels));
  apply_view(image, size, size, ViewSettings::identity(size, channels), plan, values.data());
  std::transform(values.begin(), values.end(), out,
                 [](float x) { return static_cast<std::uint8_t>(std::lround(255 * std::clamp(x, 0.0f, 1.0f))); });
}

}  // namespace vergence
