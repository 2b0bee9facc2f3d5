// What a training step carries over to the next beside the optimiser's work: running statistics of batch norm, and the
// gradients gathered into one buffer.
#include "kernels/training_state.h"

#include "kernels/cpu_backend.h"
#include "kernels/cpu_loops.h"

namespace vergence {

void CpuBackend::update_running(const NormShape& shape, double share, ConstArray mean, ConstArray rstd,
                                Array running_mean, Array running_variance) {
  with_master(running_mean.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T *m = mean.as<T>(), *r = rstd.as<T>();
    T *means = running_mean.as<T>(), *variances = running_variance.as<T>();
    for (std::int64_t c = 0; c < shape.channels; ++c) follow(shape, share, c, m, r, means[c], variances[c]);
  });
}

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
