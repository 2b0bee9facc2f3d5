// The arithmetic of one pixel and of one filter weight, shared by all devices.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/shared/exact_exp.h"
#include "kernels/views.h"

namespace vergence {

VERGENCE_BOTH inline float smaller(float a, float b) { return b < a ? b : a; }
VERGENCE_BOTH inline float larger(float a, float b) { return a < b ? b : a; }
VERGENCE_BOTH inline float clamp01(float x) { return smaller(larger(x, 0.0f), 1.0f); }

// ---- resizing

/// A segment of a line of samples to resize, and the surrounding samples that the filter may read.
struct Stretch {
  std::int32_t first = 0, count = 0;  // the samples that may be read
  float begin = 0, length = 0;        // the segment; `begin` is relative to `first`
};

/// Pillow's filter that resizes a segment of samples to `to`: centered, stretched when shrinking, cut at the ends and
/// renormalized.
struct ResizeFilter {
  std::int32_t count;
  float begin, scale, support, narrowing;  // narrowing: 1 / how much the filter is stretched
  bool smooth;

  VERGENCE_BOTH ResizeFilter(const Stretch& from, std::int32_t to, Interpolation interpolation)
      : count(from.count),
        begin(from.begin),
        scale(from.length / static_cast<float>(to)),
        support((interpolation == Interpolation::bicubic ? 2.0f : 1.0f) * larger(scale, 1.0f)),
        narrowing(1.0f / larger(scale, 1.0f)),
        smooth(interpolation == Interpolation::bicubic) {}

  /// Output `i` is a weighted mean of the samples [first(i), last(i)), counted from the segment's first.
  VERGENCE_BOTH std::int32_t first(std::int32_t i) const {
    const auto at = static_cast<std::int32_t>(std::fma(static_cast<float>(i) + 0.5f, scale, begin + 0.5f - support));
    return at > 0 ? at : 0;
  }
  VERGENCE_BOTH std::int32_t last(std::int32_t i) const {
    const auto at = static_cast<std::int32_t>(std::fma(static_cast<float>(i) + 0.5f, scale, begin + 0.5f + support));
    return at < count ? at : count;
  }
  /// The weight of input `k` in output `i`, up to a factor that depends only on the output.
  VERGENCE_BOTH float weight(std::int32_t i, std::int32_t k) const {
    const float distance = std::fma(-(static_cast<float>(i) + 0.5f), scale, static_cast<float>(k) + 0.5f - begin);
    const float x = std::fabs(distance) * narrowing;
    return smooth ? cubic(x) : larger(0.0f, 1.0f - x);
  }

 private:
  /// Keys, "Cubic convolution interpolation for digital image processing", 1981, with Pillow's a = -0.5.
  VERGENCE_BOTH static float cubic(float x) {
    constexpr float a = -0.5f;
    const float near = std::fma(std::fma(a + 2, x, -(a + 3)) * x, x, 1.0f);
    const float far = std::fma(std::fma(x - 5, x, 8.0f), x, -4.0f) * a;
    return x < 1 ? near : x < 2 ? far : 0.0f;
  }
};

/// The rows (or columns) of an image that a view reads: the crop's or, if the short side is resized, the center's, with
/// offsets rounded as in torchvision's CenterCrop. `other`: the image's other side.
VERGENCE_BOTH inline Stretch view_stretch(const ViewSettings& settings, std::int32_t first, std::int32_t length,
                                          std::int32_t other) {
  if (!settings.whole_image || settings.resize == 0) return {first, length, 0, static_cast<float>(length)};
  const std::int64_t shorter = length < other ? length : other;
  const std::int64_t resized = settings.resize * length / shorter;
  const float scale = static_cast<float>(length) / static_cast<float>(resized);
  const float offset = std::nearbyint(static_cast<float>(resized - settings.size) / 2.0f);
  return {first, length, offset * scale, static_cast<float>(settings.size) * scale};
}

// ---- color

VERGENCE_BOTH inline float gray_of(float red, float green, float blue) {
  return 0.2989f * red + 0.587f * green + 0.114f * blue;
}

/// factor x + base, clamped: blends an image with another.
VERGENCE_BOTH inline float blend(float x, float factor, float base) { return clamp01(factor * x + base); }

/// One channel of the color with the given maximum, chroma and hue (sextants, not negative):
/// HSV to RGB without branches; `offset` is 5 for red, 3 for green, 1 for blue.
VERGENCE_BOTH inline float from_hue(float maximum, float chroma, float sextants, float offset) {
  float k = sextants + offset;
  k -= 6.0f * static_cast<float>(static_cast<int>(k * (1.0f / 6)));
  return maximum - chroma * clamp01(smaller(k, 4.0f - k));
}

/// Rotates the color's hue in HSV.
VERGENCE_BOTH inline void turn_hue(float& red, float& green, float& blue, float turns) {
  // Sextants start at -1 and the shift at -3; adding six keeps the sum positive, so truncation equals floor.
  const float shift = 6.0f * turns + 6.0f;
  const float maximum = larger(red, larger(green, blue)), chroma = maximum - smaller(red, smaller(green, blue));
  const float scale = 1.0f / (chroma > 0 ? chroma : 1.0f);
  const float if_red = (green - blue) * scale, if_green = 2.0f + (blue - red) * scale;
  const float if_blue = 4.0f + (red - green) * scale;
  const float sextants = shift + (maximum == red ? if_red : maximum == green ? if_green : if_blue);
  red = from_hue(maximum, chroma, sextants, 5.0f);
  green = from_hue(maximum, chroma, sextants, 3.0f);
  blue = from_hue(maximum, chroma, sextants, 1.0f);
}

VERGENCE_BOTH inline float solarized(float x, float threshold) { return x >= threshold ? 1.0f - x : x; }

// ---- blur

/// The index of sample `i`, -size < i < 2 size - 1, with borders mirrored without repeating the edge.
VERGENCE_BOTH inline std::int32_t reflect(std::int32_t i, std::int32_t size) {
  const std::int32_t inside = i < 0 ? -i : i;
  return inside < size ? inside : 2 * (size - 1) - inside;
}

/// The Gaussian is cut off at this radius.
VERGENCE_BOTH inline std::int32_t blur_radius(float sigma, std::int32_t size) {
  const auto radius = static_cast<std::int32_t>(std::ceil(3.0f * sigma));
  return radius < size - 1 ? radius : size - 1;
}

/// The weight at distance `k`, before normalization by the sum.
VERGENCE_BOTH inline float blur_weight(std::int32_t k, float sigma) {
  const float x = static_cast<float>(k) / sigma;
  return exact_exp(-0.5f * (x * x));
}

}  // namespace vergence
