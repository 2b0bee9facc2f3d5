// Checks a data set's stated mean and standard deviation against its pixels.
#pragma once

#include <cmath>
#include <gtest/gtest.h>
#include <vector>

#include "datasets/dataset.h"

namespace vergence {

/// For each channel, with pixels in [0, 1].
inline void expect_stated_statistics(const Dataset& data, double tolerance) {
  const auto channels = static_cast<std::size_t>(data.channels);
  std::vector<double> sum(channels), squares(channels);
  for (std::size_t i = 0; i < data.pixels.size(); ++i) {
    const double x = data.pixels[i] / 255.0;
    sum[i % channels] += x, squares[i % channels] += x * x;
  }
  const double count = static_cast<double>(data.pixels.size() / channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = sum[c] / count;
    EXPECT_NEAR(mean, data.mean[c], tolerance) << data.name << " channel " << c;
    EXPECT_NEAR(std::sqrt(squares[c] / count - mean * mean), data.std[c], tolerance) << data.name << " channel " << c;
  }
}

}  // namespace vergence
