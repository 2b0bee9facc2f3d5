// Random decisions of a view, their order, and what carries them out.
#include "datasets/views.h"

#include <algorithm>
#include <cmath>

#include "datasets/image_ops.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr int crop_attempts = 10;

/// Scales 32 random bits to {0, …, count - 1}, as Random::below does.
std::int32_t scaled(std::uint32_t bits, std::int64_t count) {
  return static_cast<std::int32_t>(static_cast<std::uint64_t>(bits) * static_cast<std::uint64_t>(count) >> 32);
}

/// torchvision's rounding: to nearest, ties to even.
std::int64_t rounded(float x) { return static_cast<std::int64_t>(std::nearbyint(x)); }

/// The largest centred crop whose aspect ratio lies in the range.
CropBox centre_crop(const ViewSettings& settings, std::int64_t height, std::int64_t width) {
  const float ratio = static_cast<float>(width) / static_cast<float>(height);
  std::int64_t h = height, w = width;
  if (ratio < settings.ratio_low) h = std::min(height, rounded(static_cast<float>(width) / settings.ratio_low));
  if (ratio > settings.ratio_high) w = std::min(width, rounded(static_cast<float>(height) * settings.ratio_high));
  return {static_cast<std::int32_t>((height - h) / 2), static_cast<std::int32_t>((width - w) / 2),
          static_cast<std::int32_t>(h), static_cast<std::int32_t>(w)};
}

/// torchvision's RandomResizedCrop. Every attempt is drawn, so that what follows has fixed places in the stream.
CropBox draw_crop(const ViewSettings& settings, std::int64_t height, std::int64_t width, Random& random) {
  const float whole = static_cast<float>(height * width);
  const float log_low = std::log(settings.ratio_low), log_high = std::log(settings.ratio_high);
  CropBox crop;
  for (int attempt = 0; attempt < crop_attempts; ++attempt) {
    const float area = whole * random.uniform(settings.crop_low, settings.crop_high);
    const float ratio = std::exp(random.uniform(log_low, log_high));
    const std::uint32_t top = random.bits(), left = random.bits();
    const std::int64_t w = rounded(std::sqrt(area * ratio)), h = rounded(std::sqrt(area / ratio));
    if (crop.width > 0 || w <= 0 || h <= 0 || w > width || h > height) continue;
    crop = {scaled(top, height - h + 1), scaled(left, width - w + 1), static_cast<std::int32_t>(h),
            static_cast<std::int32_t>(w)};
  }
  return crop.width > 0 ? crop : centre_crop(settings, height, width);
}

float draw_factor(float range, Random& random) { return random.uniform(std::max(0.0f, 1.0f - range), 1.0f + range); }

void apply_jitter(Planes& planes, const ViewPlan& plan) {
  for (Jitter operation : plan.order) switch (operation) {
      case Jitter::brightness:
        adjust_brightness(planes, plan.brightness);
        break;
      case Jitter::contrast:
        adjust_contrast(planes, plan.contrast);
        break;
      case Jitter::saturation:
        adjust_saturation(planes, plan.saturation);
        break;
      case Jitter::hue:
        adjust_hue(planes, plan.hue);
        break;
    }
}

void check_range(const char* where, const char* name, float value, float low, float high) {
  require_usage(value >= low && value <= high, where, ": ", name, " is ", value, ", expected ", low, " to ", high);
}

void check_order(const char* where, const char* name, float low, float high) {
  require_usage(low <= high, where, ": ", name, " goes from ", low, " to ", high, ", expected the smaller first");
}

}  // namespace

ViewSettings ViewSettings::identity(std::int64_t size) {
  ViewSettings settings;
  settings.size = size;
  settings.crop_low = settings.crop_high = settings.ratio_low = settings.ratio_high = 1;
  settings.interpolation = Interpolation::bilinear;
  settings.jitter_p = settings.grey_p = settings.blur_p = settings.solarise_p = settings.flip_p = 0;
  return settings;
}

void check_view_settings(const ViewSettings& s, const char* where) {
  require_usage(s.size >= 2 && s.size <= 4096, where, ": size is ", s.size, ", expected 2 to 4096");
  check_range(where, "crop_low", s.crop_low, 1e-6f, 1);
  check_range(where, "crop_high", s.crop_high, 1e-6f, 1);
  check_order(where, "crop", s.crop_low, s.crop_high);
  check_range(where, "ratio_low", s.ratio_low, 0.01f, 100);
  check_range(where, "ratio_high", s.ratio_high, 0.01f, 100);
  check_order(where, "ratio", s.ratio_low, s.ratio_high);
  const struct {
    const char* name;
    float value, high;
  } values[] = {{"jitter_p", s.jitter_p, 1},   {"brightness", s.brightness, 100},
                {"contrast", s.contrast, 100}, {"saturation", s.saturation, 100},
                {"hue", s.hue, 0.5f},          {"grey_p", s.grey_p, 1},
                {"blur_p", s.blur_p, 1},       {"solarise_p", s.solarise_p, 1},
                {"flip_p", s.flip_p, 1},       {"solarise_threshold", s.solarise_threshold, 1}};
  for (const auto& v : values) check_range(where, v.name, v.value, 0, v.high);
  check_range(where, "blur_sigma_low", s.blur_sigma_low, 0.01f, 100);
  check_range(where, "blur_sigma_high", s.blur_sigma_high, 0.01f, 100);
  check_order(where, "blur_sigma", s.blur_sigma_low, s.blur_sigma_high);
  for (float mean : s.mean) check_range(where, "mean", mean, -100, 100);
  for (float std : s.std) check_range(where, "std", std, 1e-6f, 1e6f);
}

ViewPlan draw_view(const ViewSettings& settings, std::int64_t height, std::int64_t width, Random random) {
  ViewPlan plan;
  plan.crop = draw_crop(settings, height, width, random);
  plan.jitter = random.chance(settings.jitter_p);
  plan.brightness = draw_factor(settings.brightness, random);
  plan.contrast = draw_factor(settings.contrast, random);
  plan.saturation = draw_factor(settings.saturation, random);
  plan.hue = random.uniform(-settings.hue, settings.hue);
  for (std::uint32_t i = 3; i > 0; --i) std::swap(plan.order[i], plan.order[random.below(i + 1)]);
  plan.grey = random.chance(settings.grey_p);
  plan.blur = random.chance(settings.blur_p);
  plan.sigma = random.uniform(settings.blur_sigma_low, settings.blur_sigma_high);
  plan.solarise = random.chance(settings.solarise_p);
  plan.flip = random.chance(settings.flip_p);
  return plan;
}

void apply_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
                const ViewPlan& plan, float* out) {
  const CropBox& crop = plan.crop;
  require(crop.height > 0 && crop.width > 0 && crop.top >= 0 && crop.left >= 0 && crop.top + crop.height <= height &&
              crop.left + crop.width <= width,
          "view: crop ", crop.height, "x", crop.width, " at (", crop.top, ", ", crop.left, ") leaves the ", height, "x",
          width, " image");
  thread_local Planes planes;
  planes.size = settings.size;
  resize_crop(image, width, crop, settings.interpolation, planes);
  if (plan.jitter) apply_jitter(planes, plan);
  if (plan.grey) make_grey(planes);
  if (plan.blur) gaussian_blur(planes, plan.sigma);
  if (plan.solarise) solarise(planes, settings.solarise_threshold);
  write_pixels(planes, settings.mean, settings.std, plan.flip, out);
}

void make_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
               Random random, float* out) {
  apply_view(image, height, width, settings, draw_view(settings, height, width, random), out);
}

void normalize_image(const std::uint8_t* image, std::int64_t height, std::int64_t width, std::int64_t size,
                     const std::array<float, 3>& mean, const std::array<float, 3>& std, float* out) {
  if (height != size || width != size) {
    ViewSettings settings = ViewSettings::identity(size);
    settings.mean = mean;
    settings.std = std;
    ViewPlan plan;
    plan.crop = {0, 0, static_cast<std::int32_t>(height), static_cast<std::int32_t>(width)};
    apply_view(image, height, width, settings, plan, out);
    return;
  }
  for (std::int64_t i = 0; i < 3 * size * size; i += 3)
    for (int c = 0; c < 3; ++c) {
      const auto at = static_cast<std::size_t>(c);
      out[i + c] = (static_cast<float>(image[i + c]) / 255.0f - mean[at]) / std[at];
    }
}

}  // namespace vergence
