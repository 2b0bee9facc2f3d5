// Random draws on the host, besides single uniform numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>

#include "kernels/random.h"

namespace vergence {

/// A normal value with mean 0 from two uniform ones (Box and Muller), in f64.
inline double normal(Random& random, double deviation = 1) {
  const double radius = std::sqrt(-2 * std::log(1 - static_cast<double>(random.uniform())));
  return deviation * radius * std::cos(2 * std::numbers::pi * static_cast<double>(random.uniform()));
}

/// Two standard normal values from two uniform ones, in f32.
inline std::pair<float, float> normal_pair(Random& random) {
  const float radius = std::sqrt(-2 * std::log(1 - random.uniform()));
  const float angle = 2 * std::numbers::pi_v<float> * random.uniform();
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// Shuffles all of `values` (Fisher and Yates, from the back).
template <class Values>
void shuffle(Values& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[random.below(static_cast<std::uint32_t>(i))]);
}

/// Moves `count` different values, drawn at random, to the front of `values`: a shuffle from the front that stops
/// early.
template <class Values>
void draw_to_front(Values& values, std::int64_t count, Random& random) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
    std::swap(values[i], values[i + random.below(static_cast<std::uint32_t>(values.size() - i))]);
}

}  // namespace vergence
