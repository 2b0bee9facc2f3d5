// Crowding: how widely the images of one class scatter, and how far apart the classes are. Song, Qiang, Zheng, Sun,
// Xiong: "On the discriminability of self-supervised representation learning" (arXiv 2407.13541) measures both; we do
// not know its formula and use our own.
#pragma once

#include <cstdint>

#include "ssl/evaluation/features/matrix.h"

namespace vergence {

/// Uses unit-length features; mu_c is the mean of class c, and C is the number of classes that occur.
struct Crowding {
  std::int64_t classes = 0;  // C
  double intra = 0;          // mean over classes of the mean of |x - mu_c|^2 within the class; 0 to 1
  double inter = 0;          // mean over pairs of classes of |mu_c - mu_c'|; 0 to 2
  double ratio = 0;          // intra / inter^2: lower means less crowded. Infinite if the means coincide
};

/// Throws UsageError if features are empty, not finite, or all of one class.
Crowding crowding_of(const Features& features);

}  // namespace vergence
