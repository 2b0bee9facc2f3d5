// An exponential with the same bits on every device, so that decisions based on it do not depend on the device. Every
// step is an IEEE operation rounded once; sums of products are written as fma, so no compiler can contract anything.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/types.h"

namespace vergence {

/// exp(x) to about one unit in the last place; 0 below -87. x at most 88.
VERGENCE_BOTH inline float exact_exp(float x) {
  if (x < -87.0f) return 0.0f;
  // x = n log 2 + r; log 2 is split in two parts, and n times the first is exact.
  const float n = std::nearbyint(x * 1.44269504f);
  const float r = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, x));
  // exp(r) = 1 + r + r^2 p(r) on |r| <= log(2) / 2; coefficients of Cephes (Moshier).
  float p = std::fma(1.9875691500e-4f, r, 1.3981999507e-3f);
  p = std::fma(p, r, 8.3334519073e-3f);
  p = std::fma(p, r, 4.1665795894e-2f);
  p = std::fma(p, r, 1.6666665459e-1f);
  p = std::fma(p, r, 5.0000001201e-1f);
  p = std::fma(p, r * r, r) + 1.0f;
  const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(n) + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return p * power;
}

}  // namespace vergence
