// Plain loops over planes, written so that the compiler turns each into vector instructions.
#include "kernels/cpu/planes.h"

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/loops.h"
#include "kernels/shared/pixel_ops.h"

namespace vergence {
namespace {

/// The number of lines transposed together: as many values as a few cache lines hold.
constexpr std::int64_t strip = 16;

// ---- resizing

/// Output i is the sum of weights[i * most + k] * input[start[i] + k] over k < count[i].
struct Filter {
  std::int64_t most = 0;
  std::vector<std::int64_t> start, count;
  std::vector<float> weights;
};

void make_filter(const ResizeFilter& resize, std::int64_t to, Filter& filter) {
  filter.most = 2 * static_cast<std::int64_t>(std::ceil(resize.support)) + 1;
  filter.start.resize(static_cast<std::size_t>(to));
  filter.count.resize(static_cast<std::size_t>(to));
  filter.weights.resize(static_cast<std::size_t>(to * filter.most));
  for (std::int32_t i = 0; i < to; ++i) {
    const std::int32_t first = resize.first(i), last = resize.last(i);
    float* weights = filter.weights.data() + i * filter.most;
    float sum = 0;
    for (std::int32_t k = first; k < last; ++k) sum += weights[k - first] = resize.weight(i, k);
    for (std::int32_t k = first; k < last; ++k) weights[k - first] /= sum;
    filter.start[static_cast<std::size_t>(i)] = first;
    filter.count[static_cast<std::size_t>(i)] = last - first;
  }
}

/// out[:] += weighted sum of `taps` rows of `cols` values, `stride` apart, one after another.
template <int taps, class T>
void add_rows(const T* in, std::int64_t stride, const float* weights, std::int64_t cols, float* out) {
#pragma omp simd
  for (std::int64_t j = 0; j < cols; ++j) {
    float sum = out[j];
    for (int k = 0; k < taps; ++k) sum += weights[k] * static_cast<float>(in[k * stride + j]);
    out[j] = sum;
  }
}

/// out[:] = weighted sum of `taps` rows of `cols` values, `stride` apart. Several rows per pass save loads and stores.
template <class T>
void weighted_rows(const T* in, std::int64_t stride, const float* weights, std::int64_t taps, std::int64_t cols,
                   float* out) {
  constexpr int together = 4;
  for (std::int64_t j = 0; j < cols; ++j) out[j] = weights[0] * static_cast<float>(in[j]);
  std::int64_t k = 1;
  for (; k + together <= taps; k += together) add_rows<together>(in + k * stride, stride, weights + k, cols, out);
  for (; k < taps; ++k) add_rows<1>(in + k * stride, stride, weights + k, cols, out);
}

// ---- color

template <class F>
void each_value(Planes& planes, F f) {
  float* values = planes.values.data();
  const std::int64_t count = planes.channels * planes.area();
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) values[i] = f(values[i]);
}

/// f(red, green, blue) changes one pixel of a color image.
template <class F>
void each_pixel(Planes& planes, F f) {
  float *red = planes.plane(0), *green = planes.plane(1), *blue = planes.plane(2);
  const std::int64_t count = planes.area();
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    float r = red[i], g = green[i], b = blue[i];
    f(r, g, b);
    red[i] = r, green[i] = g, blue[i] = b;
  }
}

/// Summed in f64: the error of an f32 sum grows with the image and with narrower vectors of the processor. A single
/// channel is its own gray.
float mean_gray(Planes& planes) {
  const std::int64_t count = planes.area();
  const float* red = planes.plane(0);
  const auto mean = [=](auto gray) {
    return static_cast<float>(cpu::sum_range(0, count, gray) / static_cast<double>(count));
  };
  if (planes.channels == 1) return mean([=](std::int64_t i) { return red[i]; });
  const float *green = planes.plane(1), *blue = planes.plane(2);
  return mean([=](std::int64_t i) { return gray_of(red[i], green[i], blue[i]); });
}

// ---- blur

std::vector<float> gaussian(std::int64_t radius, float sigma) {
  std::vector<float> weights;
  float sum = 0;
  for (std::int64_t k = -radius; k <= radius; ++k)
    sum += weights.emplace_back(blur_weight(static_cast<std::int32_t>(k), sigma));
  for (float& w : weights) w /= sum;
  return weights;
}

}  // namespace

void resize(const std::uint8_t* corner, std::int64_t width, const Stretch& rows, const Stretch& columns,
            Interpolation interpolation, Planes& planes) {
  thread_local Filter vertical, horizontal;
  const std::int64_t size = planes.size, channels = planes.channels;
  const auto to = static_cast<std::int32_t>(size);
  make_filter(ResizeFilter(rows, to, interpolation), size, vertical);
  make_filter(ResizeFilter(columns, to, interpolation), size, horizontal);
  const std::int64_t left = horizontal.start.front();
  const std::int64_t cols = channels * (horizontal.start.back() + horizontal.count.back() - left);
  planes.values.resize(static_cast<std::size_t>(channels * planes.area()));
  planes.scratch.resize(static_cast<std::size_t>(cols * (size + strip)));
  float *lines = planes.scratch.data(), *turned = lines + strip * cols;  // turned: (cols, size)
  for (std::int64_t top = 0; top < size; top += strip) {
    const std::int64_t count = std::min(strip, size - top);
    for (std::int64_t y = top; y < top + count; ++y) {
      const auto at = static_cast<std::size_t>(y);
      weighted_rows(corner + channels * (vertical.start[at] * width + left), channels * width,
                    vertical.weights.data() + y * vertical.most, vertical.count[at], cols, lines + (y - top) * cols);
    }
    for (std::int64_t j = 0; j < cols; ++j)
      for (std::int64_t i = 0; i < count; ++i) turned[j * size + top + i] = lines[i * cols + j] / 255.0f;
  }
  for (std::int64_t x = 0; x < size; ++x) {
    const auto at = static_cast<std::size_t>(x);
    for (std::int64_t c = 0; c < channels; ++c)
      weighted_rows(turned + (channels * (horizontal.start[at] - left) + c) * size, channels * size,
                    horizontal.weights.data() + x * horizontal.most, horizontal.count[at], size,
                    planes.plane(c) + x * size);
  }
  each_value(planes, clamp01);
}

void resize_bytes(const Picture& picture, std::int64_t image_height, std::int64_t image_width, std::int64_t height,
                  std::int64_t width, std::uint8_t* out) {
  if (picture.height == height && picture.width == width && picture.reduction == 1) {
    std::copy_n(picture.pixels, 3 * height * width, out);
    return;
  }
  thread_local Filter vertical, horizontal;
  const auto filter = [&](std::int64_t image, std::int64_t have, std::int64_t to, Filter& result) {
    const float length = static_cast<float>(image) / static_cast<float>(picture.reduction);
    const Stretch stretch{0, static_cast<std::int32_t>(have), 0, length};
    make_filter(ResizeFilter(stretch, static_cast<std::int32_t>(to), Interpolation::bilinear), to, result);
  };
  filter(image_height, picture.height, height, vertical);
  filter(image_width, picture.width, width, horizontal);
  std::vector<float> row(static_cast<std::size_t>(3 * picture.width));
  for (std::int64_t y = 0; y < height; ++y) {
    const auto at = static_cast<std::size_t>(y);
    weighted_rows(picture.pixels + vertical.start[at] * 3 * picture.width, 3 * picture.width,
                  vertical.weights.data() + y * vertical.most, vertical.count[at], 3 * picture.width, row.data());
    for (std::int64_t x = 0; x < width; ++x, out += 3) {
      float pixel[3];
      weighted_rows(row.data() + 3 * horizontal.start[static_cast<std::size_t>(x)], 3,
                    horizontal.weights.data() + x * horizontal.most, horizontal.count[static_cast<std::size_t>(x)], 3,
                    pixel);
      for (int c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>(std::lround(pixel[c]));
    }
  }
}

void adjust_brightness(Planes& planes, float factor) {
  each_value(planes, [=](float x) { return clamp01(x * factor); });
}

void adjust_contrast(Planes& planes, float factor) {
  const float base = (1.0f - factor) * mean_gray(planes);
  each_value(planes, [=](float x) { return blend(x, factor, base); });
}

void adjust_saturation(Planes& planes, float factor) {
  each_pixel(planes, [=](float& r, float& g, float& b) {
    const float base = (1.0f - factor) * gray_of(r, g, b);
    r = blend(r, factor, base), g = blend(g, factor, base), b = blend(b, factor, base);
  });
}

void adjust_hue(Planes& planes, float turns) {
  each_pixel(planes, [=](float& r, float& g, float& b) { turn_hue(r, g, b, turns); });
}

void make_gray(Planes& planes) {
  each_pixel(planes, [](float& r, float& g, float& b) { r = g = b = gray_of(r, g, b); });
}

void gaussian_blur(Planes& planes, float sigma) {
  if (sigma <= 0) return;
  const std::int64_t size = planes.size;
  const std::int64_t radius = blur_radius(sigma, static_cast<std::int32_t>(size));
  const std::vector<float> weights = gaussian(radius, sigma);
  const std::int64_t taps = 2 * radius + 1, padded = size + 2 * radius;
  planes.scratch.resize(static_cast<std::size_t>(padded * size + padded));
  float *tall = planes.scratch.data(), *wide = tall + padded * size;
  for (std::int64_t c = 0; c < planes.channels; ++c) {
    float* plane = planes.plane(c);
    for (std::int64_t i = 0; i < padded; ++i)
      std::copy_n(plane + reflect(static_cast<std::int32_t>(i - radius), static_cast<std::int32_t>(size)) * size, size,
                  tall + i * size);
    for (std::int64_t i = 0; i < size; ++i) {
      weighted_rows(tall + i * size, size, weights.data(), taps, size, wide + radius);
      for (std::int64_t k = 1; k <= radius; ++k) {
        wide[radius - k] = wide[radius + k];
        wide[radius + size - 1 + k] = wide[radius + size - 1 - k];
      }
      weighted_rows(wide, 1, weights.data(), taps, size, plane + i * size);
    }
  }
}

void solarize(Planes& planes, float threshold) {
  each_value(planes, [=](float x) { return solarized(x, threshold); });
}

namespace {

/// Planes to interleaved pixels, a strip of rows at a time. `channels`: a number, or a constant, which is faster.
template <class Channels>
void interleave(const float* values, std::int64_t size, Channels channels, bool flip, float* out) {
  const std::int64_t area = size * size;
  for (std::int64_t top = 0; top < size; top += strip)
    for (std::int64_t x = 0; x < size; ++x) {
      const float* column = values + (flip ? size - 1 - x : x) * size;
      for (std::int64_t y = top; y < std::min(top + strip, size); ++y)
        for (std::int64_t c = 0; c < channels; ++c) out[channels * (y * size + x) + c] = column[c * area + y];
    }
}

}  // namespace

void write_pixels(Planes& planes, const ChannelValues& mean, const ChannelValues& std, bool flip, float* out) {
  for (std::int64_t c = 0; c < planes.channels; ++c) {
    float* plane = planes.plane(c);
    const float offset = mean[static_cast<std::size_t>(c)], scale = std[static_cast<std::size_t>(c)];
    for (std::int64_t i = 0; i < planes.area(); ++i) plane[i] = (plane[i] - offset) / scale;
  }
  if (planes.channels == 3)
    interleave(planes.values.data(), planes.size, std::integral_constant<std::int64_t, 3>(), flip, out);
  else
    interleave(planes.values.data(), planes.size, planes.channels, flip, out);
}

}  // namespace vergence
