// Gathers the gradients of a step into one buffer for the optimizer.
#include "kernels/cpu/backend.h"
#include "kernels/cpu/loops.h"

namespace vergence {

void CpuBackend::gather_segments(const std::vector<ConstArray>& parts, const std::vector<Segment>& segments,
                                 Array out) {
  const std::int64_t width = size_of(out.dtype);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Array place{static_cast<char*>(out.data) + segments[i].offset * width, segments[i].size, out.dtype};
    if (parts[i])
      map(Map::copy, 1, place.size, {parts[i]}, {}, 1, 0, place);
    else
      fill(place, 0);
  }
}

}  // namespace vergence
