// VICReg's loss as in its authors' code, in plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace vergence {

struct NaiveVicreg {
  double invariance = 25, variance = 25, covariance = 1, deviation = 1, epsilon = 1e-4;
};

/// `z`: [2 n, d], both views.
inline double naive_vicreg(const std::vector<double>& z, std::size_t n, std::size_t d, const NaiveVicreg& options) {
  const double images = static_cast<double>(n), size = static_cast<double>(d);
  double distance = 0, spread = 0, shared = 0;
  for (std::size_t i = 0; i < n * d; ++i) distance += (z[i] - z[n * d + i]) * (z[i] - z[n * d + i]);
  for (const double* view : {z.data(), z.data() + n * d}) {
    std::vector<double> mean(d);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < d; ++j) mean[j] += view[i * d + j] / images;
    for (std::size_t a = 0; a < d; ++a)
      for (std::size_t b = 0; b < d; ++b) {
        double c = 0;
        for (std::size_t i = 0; i < n; ++i) c += (view[i * d + a] - mean[a]) * (view[i * d + b] - mean[b]);
        c /= images - 1;
        if (a == b)
          spread += std::max(0.0, options.deviation - std::sqrt(c + options.epsilon)) / 2;
        else
          shared += c * c;
      }
  }
  return options.invariance * distance / (size * images) + options.variance * spread / size +
         options.covariance * shared / size;
}

}  // namespace vergence
