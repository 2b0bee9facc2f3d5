// Moments for a batch norm's statistics: of one thread's rows, and sums over parts of the rows.
#pragma once

#include "kernels/cuda/norm/loops.h"
#include "kernels/shared/running_statistics.h"

namespace vergence::VERGENCE_GPU {

/// Sums over one thread's rows of d = x - pivot and of d^2. The pivot is the thread's first row: with n rows, the part
/// that cancels in the sum of d^2 is at most n times the result, and n is small.
template <class Real, int width>
struct ThreadMoments {
  Real pivot[width] = {}, sum[width] = {}, squares[width] = {};
  int count = 0;

  /// Rows from `present` on repeat the first one (in a thread's first call), so they add nothing.
  template <class T, int at_once>
  __device__ void add(const Pack<T, width> (&x)[at_once], int present) {
    if (count == 0) widen(x[0], pivot);
    count += present;
    Real sums[width] = {}, squared[width] = {};  // over few rows, so that rounding errors do not accumulate
#pragma unroll
    for (int i = 0; i < at_once; ++i) {
      Real d[width];
      widen(x[i], d);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        d[k] -= pivot[k];
        sums[k] += d[k];
        squared[k] += d[k] * d[k];
      }
    }
#pragma unroll
    for (int k = 0; k < width; ++k) sum[k] += sums[k], squares[k] += squared[k];
  }

  /// The same sums, in double, of d = x - other.
  __device__ void about(const Real (&other)[width], double (&sums)[2][width]) const {
#pragma unroll
    for (int k = 0; k < width; ++k) {
      const double shift = static_cast<double>(pivot[k]) - static_cast<double>(other[k]), own = sum[k];
      sums[0][k] = own + count * shift;
      sums[1][k] = squares[k] + shift * (own + sums[0][k]);
    }
  }
};

/// Sums of d = x - pivot and of d^2: sums[group * per_group + part][2][channels]; each group has one row of pivots,
/// `stride` after the previous group's.
template <class T>
struct PivotSums {
  const double* sums;
  std::int64_t per_group;
  const T* pivots;
  std::int64_t stride;
};

/// The running statistics to update, if any.
template <class Real>
struct RunningArrays {
  Real *mean, *variance;
  RunningAverage<Real> rule;
};

}  // namespace vergence::VERGENCE_GPU
