// How running statistics follow a batch: single source, compiled by the C++ compiler and by nvcc.
#pragma once

#include <cmath>

#include "kernels/backend.h"

namespace vergence {

/// One channel's running mean and variance after the statistics of all groups, in their order. The biased variance is
/// what rstd says, 1 / rstd^2 - epsilon, and not below 0.
template <class T>
VERGENCE_BOTH void follow(const NormShape& shape, double share, std::int64_t channel, const T* mean, const T* rstd,
                          T& running_mean, T& running_variance) {
  const T take = static_cast<T>(share), keep = static_cast<T>(1 - share), epsilon = static_cast<T>(shape.epsilon);
  const T unbiased = static_cast<T>(static_cast<double>(shape.rows) / static_cast<double>(shape.rows - 1));
  for (std::int64_t group = 0; group < shape.groups; ++group) {
    const T m = mean[group * shape.channels + channel], r = rstd[group * shape.channels + channel];
    const T variance = T(1) / (r * r) - epsilon;
    running_mean = keep * running_mean + take * m;
    running_variance = keep * running_variance + take * unbiased * (variance < T(0) ? T(0) : variance);
  }
}

}  // namespace vergence
