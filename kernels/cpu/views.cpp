// Views on the CPU: settings, plans and their execution; batches of views, one image at a time. Bound by arithmetic;
// each image's planes stay in the nearest caches.
#include "kernels/views.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/backend.h"
#include "kernels/cpu/planes.h"
#include "kernels/error.h"
#include "kernels/parallel.h"
#include "kernels/shared/pixel_ops.h"
#include "kernels/shared/view_plan.h"

namespace vergence {
namespace {

/// check_view_settings has ensured that operations without a meaning for the channels are off.
void apply_jitter(Planes& planes, const ViewPlan& plan) {
  const bool colors = planes.channels == 3, has_gray = colors || planes.channels == 1;
  for (Jitter operation : plan.order) switch (operation) {
      case Jitter::brightness:
        adjust_brightness(planes, plan.brightness);
        break;
      case Jitter::contrast:
        if (has_gray) adjust_contrast(planes, plan.contrast);
        break;
      case Jitter::saturation:
        if (colors) adjust_saturation(planes, plan.saturation);
        break;
      case Jitter::hue:
        if (colors) adjust_hue(planes, plan.hue);
        break;
    }
}

/// Expands three channels to `channels`; the rest are zeros.
template <class T>
void write_view(const float* view, std::int64_t pixels, std::int64_t channels, T* out) {
  for (std::int64_t i = 0; i < pixels; ++i)
    for (std::int64_t c = 0; c < channels; ++c) out[i * channels + c] = T(c < 3 ? view[3 * i + c] : 0.0f);
}

void check_range(const char* where, const char* name, float value, float low, float high) {
  require_usage(value >= low && value <= high, where, ": ", name, " is ", value, ", expected ", low, " to ", high);
}

void check_order(const char* where, const char* name, float low, float high) {
  require_usage(low <= high, where, ": ", name, " goes from ", low, " to ", high, ", expected the smaller first");
}

}  // namespace

ViewSettings ViewSettings::identity(std::int64_t size, std::int64_t channels) {
  ViewSettings settings;
  settings.size = size;
  settings.channels = channels;
  settings.crop_low = settings.crop_high = settings.ratio_low = settings.ratio_high = 1;
  settings.interpolation = Interpolation::bilinear;
  settings.jitter_p = settings.gray_p = settings.blur_p = settings.solarize_p = settings.flip_p = 0;
  return settings;
}

ViewSettings ViewSettings::plain(std::int64_t size, std::int64_t resize, const ChannelValues& mean,
                                 const ChannelValues& std, std::int64_t channels) {
  ViewSettings settings = identity(size, channels);
  settings.resize = resize;
  settings.mean = mean;
  settings.std = std;
  settings.whole_image = true;
  return settings;
}

std::vector<NamedSetting> meaningless_settings(const ViewSettings& s) {
  std::vector<NamedSetting> found;
  const auto add = [&](const char* name, float value) {
    if (value > 0) found.push_back({name, value});
  };
  if (s.channels == 3) return found;
  if (s.jitter_p > 0) {
    if (s.channels != 1) add("contrast", s.contrast);
    add("saturation", s.saturation);
    add("hue", s.hue);
  }
  add("gray_p", s.gray_p);
  return found;
}

void check_view_settings(const ViewSettings& s, const char* where) {
  require_usage(s.channels >= 1 && s.channels <= max_channels, where, ": ", s.channels, " channels, expected 1 to ",
                max_channels);
  for (const NamedSetting& setting : meaningless_settings(s))
    throw UsageError(join(where, ": ", setting.name, " is ", setting.value, ", but its images have ", s.channels,
                          s.channels == 1 ? " channel" : " channels", ": expected 0"));
  require_usage(s.size >= 2 && s.size <= 4096, where, ": size is ", s.size, ", expected 2 to 4096");
  require_usage(s.resize == 0 || (s.resize >= s.size && s.resize <= 16384), where, ": resize is ", s.resize,
                ", expected 0, or the view's ", s.size, " to 16384");
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
                {"hue", s.hue, 0.5f},          {"gray_p", s.gray_p, 1},
                {"blur_p", s.blur_p, 1},       {"solarize_p", s.solarize_p, 1},
                {"flip_p", s.flip_p, 1},       {"solarize_threshold", s.solarize_threshold, 1}};
  for (const auto& v : values) check_range(where, v.name, v.value, 0, v.high);
  check_range(where, "blur_sigma_low", s.blur_sigma_low, 0.01f, 100);
  check_range(where, "blur_sigma_high", s.blur_sigma_high, 0.01f, 100);
  check_order(where, "blur_sigma", s.blur_sigma_low, s.blur_sigma_high);
  for (std::size_t c = 0; c < static_cast<std::size_t>(s.channels); ++c) {
    check_range(where, "mean", s.mean[c], -100, 100);
    check_range(where, "std", s.std[c], 1e-6f, 1e6f);
  }
}

void check_views(const std::vector<ViewSettings>& views) {
  require_usage(!views.empty() && views.size() <= 256, views.size(), " views of an image, expected 1 to 256");
  for (std::size_t v = 0; v < views.size(); ++v) {
    check_view_settings(views[v], join("view ", v + 1).c_str());
    require_usage(views[v].size == views[0].size, "view ", v + 1, " has size ", views[v].size,
                  ", expected the size of view 1, ", views[0].size);
    require_usage(views[v].channels == views[0].channels, "view ", v + 1, " has ", views[v].channels,
                  " channels, expected those of view 1, ", views[0].channels);
  }
}

void check_view_batch(const ViewBatch& batch) {
  check_views(batch.views);
  require_usage(batch.views[0].channels == 3, "views: the images' channels are ", batch.views[0].channels,
                ", expected 3 of images in a device's memory");
  require_usage(batch.channels == 3 || batch.channels == 8, "views: ", batch.channels, " channels, expected 3 or 8");
  require_usage(batch.height >= 1 && batch.width >= 1 && batch.height <= 32768 && batch.width <= 32768,
                "views: images of ", batch.height, "x", batch.width, " pixels, expected 1 to 32768");
}

ViewPlan draw_view(const ViewSettings& settings, std::int64_t height, std::int64_t width, Random random) {
  return draw_plan(ViewRules(settings), static_cast<std::int32_t>(height), static_cast<std::int32_t>(width), random);
}

namespace {

/// Converts a segment of the image to one of the available pixels: `count` of them, starting at `first`.
Stretch at_hand(const Stretch& all, std::int64_t first, std::int64_t count, int reduction) {
  const std::int64_t low = std::max<std::int64_t>(0, all.first / reduction - first);
  const std::int64_t high = std::min(count, (all.first + all.count + reduction - 1) / reduction - first);
  const auto scale = static_cast<float>(reduction);
  return {static_cast<std::int32_t>(low), static_cast<std::int32_t>(high - low),
          (static_cast<float>(all.first) + all.begin) / scale - static_cast<float>(first + low), all.length / scale};
}

/// True if the view is the pixels themselves, only normalized.
bool is_unchanged(const Stretch& rows, const Stretch& columns, std::int64_t size, const ViewPlan& plan) {
  const auto same = [&](const Stretch& part) {
    return part.begin == 0 && part.count == size && part.length == static_cast<float>(size);
  };
  return same(rows) && same(columns) && !plan.jitter && !plan.gray && !plan.blur && !plan.solarize && !plan.flip;
}

/// `channels`: a number, or a constant, which is faster.
template <class Channels>
void normalize(const std::uint8_t* corner, std::int64_t width, Channels channels, const ViewSettings& settings,
               float* out) {
  const ChannelValues mean = settings.mean, std = settings.std;  // a local copy, which `out` cannot alias
  for (std::int64_t y = 0; y < settings.size; ++y, out += channels * settings.size) {
    const std::uint8_t* row = corner + channels * y * width;
    for (std::int64_t x = 0; x < settings.size; ++x)
      for (std::int64_t c = 0; c < channels; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        const float value = static_cast<float>(row[channels * x + c]) / 255.0f;
        out[channels * x + c] = (value - mean[channel]) / std[channel];
      }
  }
}

void normalize(const std::uint8_t* corner, std::int64_t width, const ViewSettings& settings, float* out) {
  if (settings.channels == 3)
    normalize(corner, width, std::integral_constant<std::int64_t, 3>(), settings, out);
  else
    normalize(corner, width, settings.channels, settings, out);
}

}  // namespace

void apply_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
                const ViewPlan& plan, float* out) {
  apply_view({.pixels = image, .height = height, .width = width}, settings, plan, out);
}

void apply_view(const Picture& picture, const ViewSettings& settings, const ViewPlan& plan, float* out) {
  const CropBox& crop = plan.crop;
  const Stretch rows = at_hand(view_stretch(settings, crop.top, crop.height, crop.width), picture.top, picture.height,
                               picture.reduction);
  const Stretch columns = at_hand(view_stretch(settings, crop.left, crop.width, crop.height), picture.left,
                                  picture.width, picture.reduction);
  const auto covered = [](const Stretch& part) {  // the last row of a decoded image may be partial
    return part.length > 0 && part.begin >= 0 && part.begin + part.length <= static_cast<float>(part.count) + 0.01f;
  };
  require(crop.height > 0 && crop.width > 0 && covered(rows) && covered(columns), "view: crop ", crop.height, "x",
          crop.width, " at (", crop.top, ", ", crop.left, ") leaves the ", picture.height, "x", picture.width,
          " pixels that are there");
  const std::uint8_t* corner = picture.pixels + settings.channels * (rows.first * picture.width + columns.first);
  if (is_unchanged(rows, columns, settings.size, plan)) return normalize(corner, picture.width, settings, out);
  thread_local Planes planes;
  planes.size = settings.size;
  planes.channels = settings.channels;
  resize(corner, picture.width, rows, columns, settings.interpolation, planes);
  if (plan.jitter) apply_jitter(planes, plan);
  if (plan.gray) make_gray(planes);
  if (plan.blur) gaussian_blur(planes, plan.sigma);
  if (plan.solarize) solarize(planes, settings.solarize_threshold);
  write_pixels(planes, settings.mean, settings.std, plan.flip, out);
}

void make_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
               Random random, float* out) {
  apply_view(image, height, width, settings, draw_view(settings, height, width, random), out);
}

void CpuBackend::make_views(const ViewBatch& batch, ConstArray pixels, ConstArray indices, ConstArray epoch,
                            Array out) {
  check_view_batch(batch);
  const std::int64_t count = batch.places ? batch.images : pixels.size / (batch.height * batch.width * 3);
  const std::uint8_t* images = pixels.as<std::uint8_t>();
  const std::int32_t* index = indices.as<std::int32_t>();
  const auto now = static_cast<std::uint32_t>(*epoch.as<std::int32_t>());
  const std::int64_t area = batch.size() * batch.size();
  parallel_for(indices.size * static_cast<std::int64_t>(batch.views.size()), 1,
               [&](std::int64_t begin, std::int64_t end) {
                 std::vector<float> view(static_cast<std::size_t>(3 * area));
                 for (std::int64_t at = begin; at < end; ++at) {
                   const auto v = static_cast<std::size_t>(at / indices.size);
                   const std::int32_t image = index[at % indices.size];
                   require(image >= 0 && image < count, "kernel make_views: index ", image, " at position ",
                           at % indices.size, " is not in [0, ", count, ")");
                   const Random random(batch.seed, batch.purpose, now, static_cast<std::uint64_t>(image),
                                       static_cast<std::uint32_t>(v));
                   const ImagePlace place = place_of(batch.places, image, batch.height, batch.width);
                   make_view(images + place.offset, place.height, place.width, batch.views[v], random, view.data());
                   if (out.dtype == DType::bf16)
                     write_view(view.data(), area, batch.channels, out.as<bf16>() + at * batch.view_size());
                   else
                     write_view(view.data(), area, batch.channels, out.as<float>() + at * batch.view_size());
                 }
               });
}

}  // namespace vergence
