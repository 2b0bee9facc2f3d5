// Lists of numbers as vectors.
#pragma once

#include <cmath>
#include <vector>

namespace vergence {

inline double length(const std::vector<double>& a) {
  double sum = 0;
  for (const double value : a) sum += value * value;
  return std::sqrt(sum);
}

/// |a - b| / |b|
inline double relative_error(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference = a;
  for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= b.at(i);
  return length(difference) / length(b);
}

}  // namespace vergence
