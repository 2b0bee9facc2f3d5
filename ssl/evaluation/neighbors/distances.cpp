// Sums run in 16 parts that are added in a fixed order: fast, and the same on every processor except for fused
// operations.
#include "ssl/evaluation/neighbors/distances.h"

#include <cmath>

namespace vergence {
namespace {

/// The sum of the squares of value(0) ... value(count - 1).
template <class Value>
double sum_of_squares(std::int64_t count, const Value& value) {
  constexpr int parts = 16;
  double sums[parts] = {};
  std::int64_t i = 0;
  for (; i + parts <= count; i += parts)
    for (int p = 0; p < parts; ++p) {
      const double v = value(i + p);
      sums[p] += v * v;
    }
  for (int p = 0; i < count; ++i, ++p) {
    const double v = value(i);
    sums[p] += v * v;
  }
  for (int half = parts / 2; half > 0; half /= 2)
    for (int p = 0; p < half; ++p) sums[p] += sums[p + half];
  return sums[0];
}

/// Both lengths are rounded, so each direction is known to 2.5 * 2^-53: a chord below twice that is only noise.
double told_apart(double squared) { return squared < 0x1p-101 ? 0 : squared; }

}  // namespace

double length_of(const float* x, std::int64_t dim) {
  double sum = 0, lost = 0;
  for (std::int64_t j = 0; j < dim; ++j) {
    const double square = static_cast<double>(x[j]) * x[j], next = sum + square;
    lost += sum >= square ? (sum - next) + square : (square - next) + sum;
    sum = next;
  }
  return std::sqrt(sum + lost);
}

double squared_distance(const float* a, const float* b, std::int64_t dim) {
  return sum_of_squares(dim, [=](std::int64_t j) { return static_cast<double>(a[j]) - static_cast<double>(b[j]); });
}

double squared_chord(const float* a, double a_length, const float* b, double b_length, std::int64_t dim) {
  if (a_length == 0 || b_length == 0) return 2;
  const double to_a = 1 / a_length, to_b = 1 / b_length;
  const double apart = sum_of_squares(dim, [=](std::int64_t j) { return a[j] * to_a - b[j] * to_b; });
  if (apart <= 2) return told_apart(apart);
  return 4 - told_apart(sum_of_squares(dim, [=](std::int64_t j) { return a[j] * to_a + b[j] * to_b; }));
}

}  // namespace vergence
