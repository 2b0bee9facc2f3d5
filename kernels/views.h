// Views: the random augmentations of self-supervised learning, with torchvision's semantics and floating-point
// arithmetic. Pixels are floats in [0, 1] from the first operation to the last and are never rounded in between.
//
// Order: random resized crop, color jitter, gray, Gaussian blur, solarize, horizontal flip, normalize.
//
// Resizing uses Pillow's antialiased filters (triangle, or Keys' cubic with a = -0.5), stretched when shrinking; a
// cubic's overshoot is clamped to [0, 1]. The blur is a true Gaussian, cut off at ceil(3 sigma) pixels and
// renormalized, with borders reflected without repeating the edge. (solo-learn calls Pillow's box approximation of that
// Gaussian.)
//
// A view is made in two steps: `draw_view` turns a random stream into a `ViewPlan`; `apply_view` is pure arithmetic. A
// plan has the same bits on every device (view_plan.h); pixels agree up to rounding. A plan always consumes the same 53
// draws of the stream, so switching off one operation does not change the decisions of the others:
//    0-39  ten crop attempts of four draws: area, logarithm of the aspect ratio, top, left; the first that fits wins
//   40-44  jitter: does it apply, brightness, contrast, saturation, hue
//   45-47  jitter's order: Fisher-Yates from the back, below(4), below(3), below(2)
//      48  gray: does it apply
//   49-50  blur: does it apply, sigma
//      51  solarize: does it apply
//      52  flip: does it apply
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/random.h"

namespace vergence {

enum class Interpolation : std::uint8_t { bilinear, bicubic };

inline constexpr std::int64_t max_channels = 16;
/// One value per channel of an image; values past its last channel are unused.
using ChannelValues = std::array<float, max_channels>;

/// The same value for every channel.
constexpr ChannelValues every_channel(float value) {
  ChannelValues values{};
  for (float& each : values) each = value;
  return values;
}

/// The recipe of one view. Probabilities in [0, 1]; the defaults are the published SimCLR recipe for CIFAR.
struct ViewSettings {
  std::int64_t size = 32;                             // height and width of the view
  std::int64_t channels = 3;                          // of the image and the view, 1 to max_channels
  float crop_low = 0.08f, crop_high = 1.0f;           // share of the image's area
  float ratio_low = 3.0f / 4, ratio_high = 4.0f / 3;  // width / height
  Interpolation interpolation = Interpolation::bicubic;
  float jitter_p = 0.8f;
  float brightness = 0.8f, contrast = 0.8f, saturation = 0.8f;  // factors are uniform in [max(0, 1 - v), 1 + v]
  float hue = 0.2f;                                             // shift uniform in [-v, v] turns; at most 0.5
  float gray_p = 0.2f;
  float blur_p = 0.5f, blur_sigma_low = 0.1f, blur_sigma_high = 2.0f;  // in pixels of the view
  float solarize_p = 0.0f, solarize_threshold = 0.5f;                  // x becomes 1 - x where x >= threshold
  float flip_p = 0.5f;
  ChannelValues mean{}, std = every_channel(1);
  bool whole_image = false;  // the crop is the whole image, whatever its shape
  std::int64_t resize = 0;   // with whole_image: resize the short side to this and take the center; 0: squeeze

  /// Every operation off: the largest centered square (of a square image, all of it), resized to `size`.
  static ViewSettings identity(std::int64_t size, std::int64_t channels = 3);
  /// The image without augmentation, as used for evaluation: bilinear, nothing random. `resize` as above.
  static ViewSettings plain(std::int64_t size, std::int64_t resize, const ChannelValues& mean, const ChannelValues& std,
                            std::int64_t channels = 3);
};

/// A setting, looked up by its name in ViewSettings.
struct NamedSetting {
  const char* name;
  float value;
};

/// The enabled settings that make no sense for images of `settings.channels` channels. Saturation, hue and gray need
/// red, green and blue; contrast needs them too, or a single channel that is its own gray. None for 3 channels.
std::vector<NamedSetting> meaningless_settings(const ViewSettings& settings);

/// Throws UsageError naming the first value that is out of range or makes no sense; `where` begins the message ("view
/// 1").
void check_view_settings(const ViewSettings& settings, const char* where);

/// The same for all views of an image: 1 to 256 views, all of the same size and number of channels.
void check_views(const std::vector<ViewSettings>& views);

/// A rectangle of pixels.
struct CropBox {
  std::int32_t top = 0, left = 0, height = 0, width = 0;
  bool operator==(const CropBox&) const = default;
};

enum class Jitter : std::uint8_t { brightness, contrast, saturation, hue };

/// Every random decision of one view.
struct ViewPlan {
  CropBox crop;
  bool jitter = false, gray = false, blur = false, solarize = false, flip = false;
  float brightness = 1, contrast = 1, saturation = 1;  // factors
  float hue = 0;                                       // turns
  std::array<Jitter, 4> order{Jitter::brightness, Jitter::contrast, Jitter::saturation, Jitter::hue};
  float sigma = 0;
};

/// The available pixels of an image: all of it, or only the part needed, decoded at full size or smaller.
struct Picture {
  const std::uint8_t* pixels = nullptr;  // height x width x channels
  std::int64_t height = 0, width = 0;    // of the available part
  std::int64_t top = 0, left = 0;        // where that part begins in the image, in decoded pixels
  int reduction = 1;                     // rows (and columns) of the image per decoded one
};

/// The position of an image among others in device memory, and its size.
struct ImagePlace {
  std::int64_t offset = 0;  // of its first byte
  std::int32_t height = 0, width = 0;
};

/// Views of a batch of 3-channel images in device memory (Backend::make_views). View v of image i is drawn from the key
/// (seed, purpose, epoch, i, v).
struct ViewBatch {
  std::vector<ViewSettings> views;  // one per view, all of the same size
  std::uint64_t seed = 0;
  Purpose purpose = Purpose::view;
  std::int64_t height = 0, width = 0;  // of the images, or of the largest of them
  std::int64_t channels = 3;           // of the views: 3, or 8 with zeros in the last five
  const ImagePlace* places = nullptr;  // for images of different sizes: a place for each, in device memory
  std::int64_t images = 0;             // the number of places

  std::int64_t size() const { return views.front().size; }
  /// Values of one view.
  std::int64_t view_size() const { return size() * size() * channels; }
};

/// Throws UsageError for settings out of range and for images without exactly 3 channels.
void check_view_batch(const ViewBatch& batch);

/// Draws the plan of a view of a height x width image. Stream key: (seed, Purpose::view, epoch, sample, view).
ViewPlan draw_view(const ViewSettings& settings, std::int64_t height, std::int64_t width, Random random);

/// Applies a plan: `image` is height x width x channels bytes (HWC), `out` size x size x channels normalized floats.
void apply_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
                const ViewPlan& plan, float* out);

/// The same if only some pixels are available; they must include the crop.
void apply_view(const Picture& picture, const ViewSettings& settings, const ViewPlan& plan, float* out);

/// draw_view, then apply_view.
void make_view(const std::uint8_t* image, std::int64_t height, std::int64_t width, const ViewSettings& settings,
               Random random, float* out);

}  // namespace vergence
