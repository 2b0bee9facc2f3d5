// The random decisions of a view: one source for all devices, with bitwise equal results. Uses only IEEE operations
// that are rounded once, with every sum of a product as an explicit fma. The host provides the logarithms.
#pragma once

#include "kernels/random.h"
#include "kernels/shared/exact_exp.h"
#include "kernels/views.h"

namespace vergence {

/// A view's settings and the values derived from them once, on the host.
struct ViewRules {
  ViewSettings settings;
  float log_ratio_low = 0, log_ratio_high = 0;

  ViewRules() = default;
  explicit ViewRules(const ViewSettings& settings)
      : settings(settings),
        log_ratio_low(std::log(settings.ratio_low)),
        log_ratio_high(std::log(settings.ratio_high)) {}
};

namespace view_draws {

/// Scales 32 random bits to {0, ..., count - 1}, as Random::below does.
VERGENCE_BOTH inline std::int32_t scaled(std::uint32_t bits, std::int32_t count) {
  return static_cast<std::int32_t>(static_cast<std::uint64_t>(bits) * static_cast<std::uint64_t>(count) >> 32);
}

/// torchvision's rounding: to nearest, ties to even.
VERGENCE_BOTH inline std::int32_t rounded(float x) { return static_cast<std::int32_t>(std::nearbyint(x)); }

VERGENCE_BOTH inline std::int32_t smaller(std::int32_t a, std::int32_t b) { return a < b ? a : b; }
VERGENCE_BOTH inline std::int32_t larger(std::int32_t a, std::int32_t b) { return a < b ? b : a; }

/// The largest centered crop whose aspect ratio is in the range, at least one pixel high and wide.
VERGENCE_BOTH inline CropBox center_crop(const ViewSettings& settings, std::int32_t height, std::int32_t width) {
  const float ratio = static_cast<float>(width) / static_cast<float>(height);
  std::int32_t h = height, w = width;
  if (ratio < settings.ratio_low) h = smaller(height, rounded(static_cast<float>(width) / settings.ratio_low));
  if (ratio > settings.ratio_high) w = smaller(width, rounded(static_cast<float>(height) * settings.ratio_high));
  h = larger(h, 1), w = larger(w, 1);
  return {(height - h) / 2, (width - w) / 2, h, w};
}

/// torchvision's RandomResizedCrop. Always draws every attempt, so that later draws have fixed places in the stream.
VERGENCE_BOTH inline CropBox draw_crop(const ViewRules& rules, std::int32_t height, std::int32_t width,
                                       Random& random) {
  constexpr int attempts = 10;
  const ViewSettings& settings = rules.settings;
  const float whole = static_cast<float>(std::int64_t{height} * width);
  CropBox crop;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    const float share = random.uniform(settings.crop_low, settings.crop_high);
    const float log_ratio = random.uniform(rules.log_ratio_low, rules.log_ratio_high);
    const std::uint32_t top = random.bits(), left = random.bits();
    if (crop.width > 0) continue;
    const float area = whole * share, ratio = exact_exp(log_ratio);
    const std::int32_t w = rounded(std::sqrt(area * ratio)), h = rounded(std::sqrt(area / ratio));
    if (w > 0 && h > 0 && w <= width && h <= height)
      crop = {scaled(top, height - h + 1), scaled(left, width - w + 1), h, w};
  }
  return crop.width > 0 ? crop : center_crop(settings, height, width);
}

/// A factor in [max(0, 1 - range), 1 + range].
VERGENCE_BOTH inline float draw_factor(float range, Random& random) {
  return random.uniform(range < 1.0f ? 1.0f - range : 0.0f, 1.0f + range);
}

}  // namespace view_draws

/// The place of image `index`: its own if there are places, otherwise computed for images of height x width.
VERGENCE_BOTH inline ImagePlace place_of(const ImagePlace* places, std::int64_t index, std::int64_t height,
                                         std::int64_t width) {
  if (places) return places[index];
  return {3 * index * height * width, static_cast<std::int32_t>(height), static_cast<std::int32_t>(width)};
}

/// Draws the plan of a view of a height x width image.
VERGENCE_BOTH inline ViewPlan draw_plan(const ViewRules& rules, std::int32_t height, std::int32_t width,
                                        Random random) {
  const ViewSettings& settings = rules.settings;
  ViewPlan plan;
  plan.crop = view_draws::draw_crop(rules, height, width, random);
  if (settings.whole_image) plan.crop = {0, 0, height, width};
  plan.jitter = random.chance(settings.jitter_p);
  plan.brightness = view_draws::draw_factor(settings.brightness, random);
  plan.contrast = view_draws::draw_factor(settings.contrast, random);
  plan.saturation = view_draws::draw_factor(settings.saturation, random);
  plan.hue = random.uniform(-settings.hue, settings.hue);
  for (std::uint32_t i = 3; i > 0; --i) {
    const std::uint32_t other = random.below(i + 1);
    const Jitter last = plan.order[i];
    plan.order[i] = plan.order[other];
    plan.order[other] = last;
  }
  plan.gray = random.chance(settings.gray_p);
  plan.blur = random.chance(settings.blur_p);
  plan.sigma = random.uniform(settings.blur_sigma_low, settings.blur_sigma_high);
  plan.solarize = random.chance(settings.solarize_p);
  plan.flip = random.chance(settings.flip_p);
  return plan;
}

}  // namespace vergence
