// The pixel arithmetic of views: each operation works in place on planes of floats in [0, 1].
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/shared/pixel_ops.h"
#include "kernels/views.h"

namespace vergence {

/// A square image with one plane per channel, stored *transposed*: element (x, y) is at x * size + y. Resizing then
/// needs one transposition instead of two; `write_pixels` turns the planes back.
struct Planes {
  std::int64_t size = 0, channels = 3;
  std::vector<float> values;   // channels x size x size
  std::vector<float> scratch;  // working memory that the operations reuse

  std::int64_t area() const { return size * size; }
  float* plane(std::int64_t channel) { return values.data() + channel * area(); }
};

/// Resizes the segments of rows and columns to planes.size. `corner`: the pixel at the first row and column of an
/// interleaved 8-bit image of planes.channels channels, `width` pixels wide.
void resize(const std::uint8_t* corner, std::int64_t width, const Stretch& rows, const Stretch& columns,
            Interpolation interpolation, Planes& planes);

/// A whole image, all of it in `picture`, resized to height x width x 3 bytes: bilinear, antialiased, rounded.
void resize_bytes(const Picture& picture, std::int64_t image_height, std::int64_t image_width, std::int64_t height,
                  std::int64_t width, std::uint8_t* out);

/// x * factor, clamped.
void adjust_brightness(Planes& planes, float factor);
/// Blends the image with the mean of its gray version; a single channel is its own gray version. For 1 or 3 channels.
void adjust_contrast(Planes& planes, float factor);
/// Blends the image with its gray version. This and the next two need red, green and blue.
void adjust_saturation(Planes& planes, float factor);
/// Rotates the hue in HSV, in turns.
void adjust_hue(Planes& planes, float turns);
/// 0.2989 R + 0.587 G + 0.114 B in all three planes.
void make_gray(Planes& planes);
void gaussian_blur(Planes& planes, float sigma);
void solarize(Planes& planes, float threshold);
/// (x - mean) / std as interleaved pixels, mirrored if `flip` is set.
void write_pixels(Planes& planes, const ChannelValues& mean, const ChannelValues& std, bool flip, float* out);

}  // namespace vergence
