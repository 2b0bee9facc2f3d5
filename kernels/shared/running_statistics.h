// How a batch updates the running statistics: single source, compiled by the C++ compiler and by nvcc.
#pragma once

#include <cmath>

#include "kernels/backend.h"

namespace vergence {

/// Updates one channel's running mean and variance from the statistics of a group. The biased variance is computed from
/// rstd as 1 / rstd^2 - epsilon, but not below 0.
template <class T>
struct RunningAverage {
  T take, keep, epsilon, unbiased;

  RunningAverage(const NormShape& shape, double share)
      : take(static_cast<T>(share)),
        keep(static_cast<T>(1 - share)),
        epsilon(static_cast<T>(shape.epsilon)),
        unbiased(static_cast<T>(static_cast<double>(shape.all_rows()) / static_cast<double>(shape.all_rows() - 1))) {}

  VERGENCE_BOTH void step(T mean, T rstd, T& running_mean, T& running_variance) const {
    const T variance = T(1) / (rstd * rstd) - epsilon;
    running_mean = keep * running_mean + take * mean;
    running_variance = keep * running_variance + take * unbiased * (variance < T(0) ? T(0) : variance);
  }
};

}  // namespace vergence
