// Compares views with a plain double-precision implementation of what torchvision documents.
#include "kernels/views.h"

#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>
#include <vector>

#include "kernels/cpu/planes.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

using Pixels = std::vector<double>;  // HWC

std::vector<std::uint8_t> random_image(std::int64_t height, std::int64_t width, std::uint64_t sample) {
  Random random(1, Purpose::test, 0, sample);
  std::vector<std::uint8_t> image(static_cast<std::size_t>(height * width * 3));
  for (std::uint8_t& value : image) value = static_cast<std::uint8_t>(random.below(256));
  for (std::size_t i = 0; i < 30; ++i) image[i] = static_cast<std::uint8_t>(i / 6 % 2 * 255);  // black, white: no hue
  return image;
}

double clamp01(double x) { return std::clamp(x, 0.0, 1.0); }

// ---- the reference operations

double filter_value(Interpolation interpolation, double x) {
  x = std::abs(x);
  if (interpolation == Interpolation::bilinear) return x < 1 ? 1 - x : 0;
  const double a = -0.5;
  if (x < 1) return (a + 2) * x * x * x - (a + 3) * x * x + 1;
  if (x < 2) return a * x * x * x - 5 * a * x * x + 8 * a * x - 4 * a;
  return 0;
}

/// The weight of each of `from` input samples in output sample `i` of `to`.
std::vector<double> contributions(Interpolation interpolation, std::int64_t from, std::int64_t to, std::int64_t i) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0);
  std::vector<double> weights;
  double sum = 0;
  for (std::int64_t k = 0; k < from; ++k)
    sum += weights.emplace_back(
        filter_value(interpolation, (static_cast<double>(k) + 0.5 - (static_cast<double>(i) + 0.5) * scale) / stretch));
  for (double& w : weights) w /= sum;
  return weights;
}

Pixels resized(const std::vector<std::uint8_t>& image, std::int64_t width, const CropBox& crop, std::int64_t size,
               Interpolation interpolation) {
  Pixels out(static_cast<std::size_t>(size * size * 3));
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x) {
      const auto wy = contributions(interpolation, crop.height, size, y);
      const auto wx = contributions(interpolation, crop.width, size, x);
      for (std::int64_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (std::int64_t i = 0; i < crop.height; ++i)
          for (std::int64_t j = 0; j < crop.width; ++j)
            sum += wy[static_cast<std::size_t>(i)] * wx[static_cast<std::size_t>(j)] *
                   image[static_cast<std::size_t>(((crop.top + i) * width + crop.left + j) * 3 + c)] / 255.0;
        out[static_cast<std::size_t>((y * size + x) * 3 + c)] = clamp01(sum);
      }
    }
  return out;
}

double gray_at(const Pixels& p, std::size_t i) { return 0.2989 * p[i] + 0.587 * p[i + 1] + 0.114 * p[i + 2]; }

void reference_brightness(Pixels& p, double factor) {
  for (double& x : p) x = clamp01(x * factor);
}

void reference_contrast(Pixels& p, double factor) {
  double mean = 0;
  for (std::size_t i = 0; i < p.size(); i += 3) mean += gray_at(p, i);
  mean /= static_cast<double>(p.size() / 3);
  for (double& x : p) x = clamp01(factor * x + (1 - factor) * mean);
}

void reference_saturation(Pixels& p, double factor) {
  for (std::size_t i = 0; i < p.size(); i += 3) {
    const double gray = gray_at(p, i);
    for (std::size_t c = 0; c < 3; ++c) p[i + c] = clamp01(factor * p[i + c] + (1 - factor) * gray);
  }
}

/// RGB to HSV, a turn of the hue, and back by the table of six sectors.
void reference_hue(Pixels& p, double turns) {
  for (std::size_t i = 0; i < p.size(); i += 3) {
    const double r = p[i], g = p[i + 1], b = p[i + 2], v = std::max({r, g, b}), range = v - std::min({r, g, b});
    double h = 0;
    if (range > 0) h = v == r ? (g - b) / range : v == g ? 2 + (b - r) / range : 4 + (r - g) / range;
    h = h / 6 + turns;
    h -= std::floor(h);
    const double s = v > 0 ? range / v : 0, sector = std::floor(h * 6), f = h * 6 - sector;
    const double a = v * (1 - s), q = v * (1 - s * f), t = v * (1 - s * (1 - f));
    const double table[6][3] = {{v, t, a}, {q, v, a}, {a, v, t}, {a, q, v}, {t, a, v}, {v, a, q}};
    for (std::size_t c = 0; c < 3; ++c) p[i + c] = table[static_cast<int>(sector) % 6][c];
  }
}

void reference_gray(Pixels& p) {
  for (std::size_t i = 0; i < p.size(); i += 3) p[i] = p[i + 1] = p[i + 2] = gray_at(p, i);
}

void reference_blur(Pixels& p, std::int64_t size, double sigma) {
  const auto radius = std::min(static_cast<std::int64_t>(std::ceil(3 * sigma)), size - 1);
  const auto mirror = [&](std::int64_t i) { return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i; };
  const Pixels in = p;
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < size; ++x)
      for (std::int64_t c = 0; c < 3; ++c) {
        double sum = 0, total = 0;
        for (std::int64_t i = -radius; i <= radius; ++i)
          for (std::int64_t j = -radius; j <= radius; ++j) {
            const double weight = std::exp(-static_cast<double>(i * i + j * j) / (2 * sigma * sigma));
            sum += weight * in[static_cast<std::size_t>((mirror(y + i) * size + mirror(x + j)) * 3 + c)];
            total += weight;
          }
        p[static_cast<std::size_t>((y * size + x) * 3 + c)] = sum / total;
      }
}

Pixels reference_view(const std::vector<std::uint8_t>& image, std::int64_t width, const ViewSettings& s,
                      const ViewPlan& plan) {
  Pixels p = resized(image, width, plan.crop, s.size, s.interpolation);
  if (plan.jitter)
    for (Jitter operation : plan.order) switch (operation) {
        case Jitter::brightness:
          reference_brightness(p, plan.brightness);
          break;
        case Jitter::contrast:
          reference_contrast(p, plan.contrast);
          break;
        case Jitter::saturation:
          reference_saturation(p, plan.saturation);
          break;
        case Jitter::hue:
          reference_hue(p, plan.hue);
          break;
      }
  if (plan.gray) reference_gray(p);
  if (plan.blur) reference_blur(p, s.size, plan.sigma);
  if (plan.solarize)
    for (double& x : p) x = x >= s.solarize_threshold ? 1 - x : x;
  Pixels out(p.size());
  for (std::int64_t y = 0; y < s.size; ++y)
    for (std::int64_t x = 0; x < s.size; ++x)
      for (std::size_t c = 0; c < 3; ++c) {
        const std::int64_t from = plan.flip ? s.size - 1 - x : x;
        out[static_cast<std::size_t>((y * s.size + x) * 3) + c] =
            (p[static_cast<std::size_t>((y * s.size + from) * 3) + c] - s.mean[c]) / s.std[c];
      }
  return out;
}

void expect_close(const std::vector<float>& got, const Pixels& expected, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) worst = std::max(worst, std::abs(got[i] - expected[i]));
  EXPECT_LT(worst, tolerance) << what;
}

std::vector<float> applied(const std::vector<std::uint8_t>& image, std::int64_t height, std::int64_t width,
                           const ViewSettings& settings, const ViewPlan& plan) {
  std::vector<float> out(static_cast<std::size_t>(settings.size * settings.size * 3), NAN);
  apply_view(image.data(), height, width, settings, plan, out.data());
  return out;
}

/// A plan of the whole image with every operation off.
ViewPlan plain_plan(std::int32_t height, std::int32_t width) {
  ViewPlan plan;
  plan.crop = {0, 0, height, width};
  return plan;
}

// ---- each operation alone

TEST(Views, ResizingMatchesTheReference) {
  const auto image = random_image(40, 27, 1);
  for (Interpolation interpolation : {Interpolation::bilinear, Interpolation::bicubic})
    for (std::int64_t size : {2, 13, 20, 32, 61})
      for (const CropBox& crop :
           {CropBox{0, 0, 40, 27}, CropBox{3, 5, 20, 20}, CropBox{39, 26, 1, 1}, CropBox{10, 2, 3, 24}}) {
        ViewSettings settings = ViewSettings::identity(size);
        settings.interpolation = interpolation;
        ViewPlan plan;
        plan.crop = crop;
        expect_close(applied(image, 40, 27, settings, plan), resized(image, 27, crop, size, interpolation), 4e-6,
                     "resize");
      }
}

TEST(Views, EachOperationMatchesTheReference) {
  const auto image = random_image(16, 16, 2);
  ViewSettings settings = ViewSettings::identity(16);
  const auto check = [&](const char* what, auto change) {
    ViewPlan plan = plain_plan(16, 16);
    change(plan);
    expect_close(applied(image, 16, 16, settings, plan), reference_view(image, 16, settings, plan), 3e-6, what);
  };
  for (float f : {0.0f, 0.3f, 1.0f, 1.8f}) {
    check("brightness", [&](ViewPlan& p) { p.jitter = true, p.brightness = f; });
    check("contrast", [&](ViewPlan& p) { p.jitter = true, p.contrast = f; });
    check("saturation", [&](ViewPlan& p) { p.jitter = true, p.saturation = f; });
  }
  for (float turns : {-0.5f, -0.17f, 0.0f, 0.2f, 0.5f})
    check("hue", [&](ViewPlan& p) { p.jitter = true, p.hue = turns; });
  for (float sigma : {0.1f, 0.9f, 2.0f, 7.0f}) check("blur", [&](ViewPlan& p) { p.blur = true, p.sigma = sigma; });
  check("gray", [](ViewPlan& p) { p.gray = true; });
  check("solarize", [](ViewPlan& p) { p.solarize = true; });
  check("flip", [](ViewPlan& p) { p.flip = true; });
}

TEST(Views, HueOfAThirdOfATurnRotatesThePrimaries) {
  const std::vector<std::uint8_t> red{255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0};
  ViewPlan plan = plain_plan(2, 2);
  plan.jitter = true;
  plan.hue = 1.0f / 3;
  const auto out = applied(red, 2, 2, ViewSettings::identity(2), plan);
  EXPECT_NEAR(out[0], 0, 1e-6);
  EXPECT_NEAR(out[1], 1, 1e-6);
  EXPECT_NEAR(out[2], 0, 1e-6);
}

// ---- the whole chain

TEST(Views, WholeRecipesMatchTheReference) {
  ViewSettings settings;
  settings.solarize_p = 0.3f;
  settings.mean = {0.4914f, 0.4822f, 0.4465f};
  settings.std = {0.2470f, 0.2435f, 0.2616f};
  for (std::uint64_t sample = 0; sample < 60; ++sample) {
    const std::int64_t height = sample % 3 ? 32 : 19, width = sample % 2 ? 32 : 45;
    settings.interpolation = sample % 4 < 2 ? Interpolation::bicubic : Interpolation::bilinear;
    settings.size = sample % 5 ? 32 : 17;
    const auto image = random_image(height, width, sample);
    const ViewPlan plan = draw_view(settings, height, width, Random(9, Purpose::view, 3, sample, 1));
    expect_close(applied(image, height, width, settings, plan), reference_view(image, width, settings, plan), 2e-5,
                 "recipe");
  }
}

TEST(Views, IdentityGivesTheNormalisedImage) {
  const auto image = random_image(32, 32, 4);
  ViewSettings settings = ViewSettings::identity(32);
  settings.mean = {0.5f, 0.4f, 0.3f};
  settings.std = {0.2f, 0.25f, 0.3f};
  std::vector<float> view(image.size()), plain(image.size());
  make_view(image.data(), 32, 32, settings, Random(1, Purpose::view), view.data());
  make_view(image.data(), 32, 32, ViewSettings::plain(32, 0, settings.mean, settings.std), Random(1, Purpose::view),
            plain.data());
  for (std::size_t i = 0; i < image.size(); ++i) {
    const double expected = (image[i] / 255.0 - settings.mean[i % 3]) / settings.std[i % 3];
    ASSERT_NEAR(view[i], expected, 1e-6);
    ASSERT_NEAR(plain[i], expected, 1e-6);
  }
}

TEST(Views, PlainResizesImagesOfAnotherSize) {
  const auto image = random_image(40, 24, 5);
  std::vector<float> out(16 * 16 * 3);
  make_view(image.data(), 40, 24, ViewSettings::plain(16, 0, {0, 0, 0}, {1, 1, 1}), Random(1, Purpose::view),
            out.data());
  expect_close(out, resized(image, 24, {0, 0, 40, 24}, 16, Interpolation::bilinear), 4e-6, "plain");
}

/// A pixel of the whole image resized to rows x columns, by definition: with filters over the whole image.
double resized_pixel(const std::vector<std::uint8_t>& image, std::int64_t height, std::int64_t width, std::int64_t rows,
                     std::int64_t columns, std::int64_t y, std::int64_t x, std::int64_t channel) {
  const auto weights = [](std::int64_t from, std::int64_t to, std::int64_t at) {
    const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0);
    std::vector<double> all;
    double sum = 0;
    for (std::int64_t k = 0; k < from; ++k)
      sum += all.emplace_back(std::max(
          0.0, 1 - std::abs((static_cast<double>(k) + 0.5) - (static_cast<double>(at) + 0.5) * scale) / stretch));
    for (double& weight : all) weight /= sum;
    return all;
  };
  const std::vector<double> down = weights(height, rows, y), across = weights(width, columns, x);
  double sum = 0;
  for (std::int64_t i = 0; i < height; ++i)
    for (std::int64_t j = 0; j < width; ++j)
      sum += down[static_cast<std::size_t>(i)] * across[static_cast<std::size_t>(j)] *
             image[static_cast<std::size_t>(3 * (i * width + j) + channel)] / 255.0;
  return sum;
}

// As in torchvision: Resize(short side) rounds the other side down, then CenterCrop rounds its offset to even.
TEST(Views, PlainCutsTheCenterOfTheResizedImage) {
  const struct {
    std::int64_t height, width, resize, size, rows, columns;  // rows, columns: of the resized image
  } cases[] = {{41, 60, 20, 16, 20, 29}, {70, 33, 18, 16, 38, 18}, {24, 24, 20, 17, 20, 20}, {9, 13, 20, 16, 20, 28}};
  for (const auto& c : cases) {
    const auto image = random_image(c.height, c.width, 8);
    std::vector<float> out(static_cast<std::size_t>(3 * c.size * c.size));
    make_view(image.data(), c.height, c.width, ViewSettings::plain(c.size, c.resize, {0, 0, 0}, {1, 1, 1}),
              Random(1, Purpose::view), out.data());
    const auto offset = [&](std::int64_t side) {
      return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(side - c.size) / 2));
    };
    for (std::int64_t y = 0; y < c.size; ++y)
      for (std::int64_t x = 0; x < c.size; ++x)
        ASSERT_NEAR(
            out[static_cast<std::size_t>(3 * (y * c.size + x) + 1)],
            resized_pixel(image, c.height, c.width, c.rows, c.columns, y + offset(c.rows), x + offset(c.columns), 1),
            1e-5)
            << c.height << 'x' << c.width << " at " << y << ", " << x;
  }
}

// A part of the pixels gives the same view as all of them. Pixels decoded at half the size give nearly the same where
// the image is smooth.
TEST(Views, APartOfTheImageGivesTheSameView) {
  const auto image = random_image(50, 40, 3);
  const ViewSettings settings = ViewSettings::identity(12);
  ViewPlan plan;
  plan.crop = {20, 8, 26, 30};
  std::vector<float> whole(12 * 12 * 3), part(whole.size());
  apply_view(image.data(), 50, 40, settings, plan, whole.data());
  std::vector<std::uint8_t> rows(image.begin() + 18 * 40 * 3, image.begin() + 48 * 40 * 3);
  apply_view({.pixels = rows.data(), .height = 30, .width = 40, .top = 18}, settings, plan, part.data());
  EXPECT_EQ(whole, part);
  EXPECT_THROW(apply_view({.pixels = rows.data(), .height = 27, .width = 40, .top = 18}, settings, plan, part.data()),
               Error);
  EXPECT_THROW(apply_view({.pixels = rows.data(), .height = 30, .width = 40, .top = 21}, settings, plan, part.data()),
               Error);
}

TEST(Views, HalfThePixelsAreEnoughForAViewOfHalfTheSize) {
  const std::int64_t height = 61, width = 45;  // odd: the last row and column are half a pixel
  const auto light = [](double y, double x) { return 120 + 100 * std::sin(y / 9) * std::cos(x / 7); };
  std::vector<std::uint8_t> image, half;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.push_back(static_cast<std::uint8_t>(std::lround(light(static_cast<double>(y), static_cast<double>(x)))));
  for (std::int64_t y = 0; y < 31; ++y)
    for (std::int64_t x = 0; x < 23; ++x)
      for (int c = 0; c < 3; ++c)
        half.push_back(static_cast<std::uint8_t>(
            std::lround(light(2 * static_cast<double>(y) + 0.5, 2 * static_cast<double>(x) + 0.5))));
  const ViewSettings settings = ViewSettings::identity(16);
  for (const CropBox& crop : {CropBox{0, 0, 61, 45}, CropBox{7, 5, 33, 35}, CropBox{21, 4, 40, 41}}) {
    ViewPlan plan;
    plan.crop = crop;
    std::vector<float> full(16 * 16 * 3), small(full.size());
    apply_view(image.data(), height, width, settings, plan, full.data());
    apply_view({.pixels = half.data(), .height = 31, .width = 23, .reduction = 2}, settings, plan, small.data());
    expect_close(small, Pixels(full.begin(), full.end()), 0.02, "half");
  }
}

// ---- decisions

TEST(Views, SameKeySameViewOtherKeyOtherView) {
  const auto image = random_image(32, 32, 6);
  const ViewSettings settings;
  const auto view = [&](std::uint32_t epoch, std::uint64_t sample, std::uint32_t number) {
    std::vector<float> out(32 * 32 * 3);
    make_view(image.data(), 32, 32, settings, Random(5, Purpose::view, epoch, sample, number), out.data());
    return out;
  };
  EXPECT_EQ(view(1, 2, 0), view(1, 2, 0));
  EXPECT_NE(view(1, 2, 0), view(1, 2, 1));
  EXPECT_NE(view(1, 2, 0), view(2, 2, 0));
  EXPECT_NE(view(1, 2, 0), view(1, 3, 0));
}

/// Checks the positions of the draws in the stream, which the header promises to other devices.
TEST(Views, DrawsLieWhereTheHeaderSays) {
  ViewSettings settings;
  settings.solarize_p = 0.4f;
  for (std::uint64_t sample = 0; sample < 200; ++sample) {
    Random random(7, Purpose::view, 2, sample, 1);
    std::vector<std::uint32_t> bits(53);
    for (auto& b : bits) b = random.bits();
    const auto unit = [&](std::size_t i) { return static_cast<double>(bits[i] >> 8) / 16777216.0; };
    const auto between = [&](std::size_t i, double low, double high) { return low + (high - low) * unit(i); };
    const auto below = [&](std::size_t i, std::uint64_t n) { return static_cast<std::int32_t>(bits[i] * n >> 32); };
    const ViewPlan plan = draw_view(settings, 24, 32, Random(7, Purpose::view, 2, sample, 1));
    for (std::size_t attempt = 0; attempt < 10; ++attempt) {
      const double area = 24 * 32 * between(4 * attempt, settings.crop_low, settings.crop_high);
      const double ratio = std::exp(between(4 * attempt + 1, std::log(3 / 4.0), std::log(4 / 3.0)));
      const auto w = static_cast<std::int32_t>(std::lround(std::sqrt(area * ratio)));
      const auto h = static_cast<std::int32_t>(std::lround(std::sqrt(area / ratio)));
      if (w > 32 || h > 24) continue;
      const CropBox expected{below(4 * attempt + 2, static_cast<std::uint64_t>(25 - h)),
                             below(4 * attempt + 3, static_cast<std::uint64_t>(33 - w)), h, w};
      EXPECT_EQ(plan.crop, expected) << "sample " << sample;
      break;
    }
    EXPECT_EQ(plan.jitter, unit(40) < settings.jitter_p);
    EXPECT_NEAR(plan.brightness, between(41, 0.2, 1.8), 1e-6);
    EXPECT_NEAR(plan.contrast, between(42, 0.2, 1.8), 1e-6);
    EXPECT_NEAR(plan.saturation, between(43, 0.2, 1.8), 1e-6);
    EXPECT_NEAR(plan.hue, between(44, -0.2, 0.2), 1e-6);
    std::array<Jitter, 4> order{Jitter::brightness, Jitter::contrast, Jitter::saturation, Jitter::hue};
    for (std::size_t i = 3; i > 0; --i) std::swap(order[i], order[static_cast<std::size_t>(below(48 - i, i + 1))]);
    EXPECT_EQ(plan.order, order);
    EXPECT_EQ(plan.gray, unit(48) < settings.gray_p);
    EXPECT_EQ(plan.blur, unit(49) < settings.blur_p);
    EXPECT_NEAR(plan.sigma, between(50, 0.1, 2.0), 1e-6);
    EXPECT_EQ(plan.solarize, unit(51) < settings.solarize_p);
    EXPECT_EQ(plan.flip, unit(52) < settings.flip_p);
  }
}

TEST(Views, DecisionsHappenAsOftenAsTheySay) {
  ViewSettings settings;
  settings.solarize_p = 0.1f;
  constexpr int count = 20000;
  int flip = 0, gray = 0, blur = 0, jitter = 0, solarize = 0;
  double area = 0;
  std::map<std::array<Jitter, 4>, int> orders;
  for (std::uint64_t i = 0; i < count; ++i) {
    const ViewPlan plan = draw_view(settings, 256, 256, Random(3, Purpose::view, 0, i, 0));
    flip += plan.flip, gray += plan.gray, blur += plan.blur, jitter += plan.jitter, solarize += plan.solarize;
    area += static_cast<double>(plan.crop.height) * plan.crop.width / (256.0 * 256.0);
    ++orders[plan.order];
    ASSERT_GE(plan.crop.top, 0);
    ASSERT_LE(plan.crop.top + plan.crop.height, 256);
    ASSERT_LE(plan.crop.left + plan.crop.width, 256);
  }
  EXPECT_NEAR(flip, 0.5 * count, 0.02 * count);
  EXPECT_NEAR(gray, 0.2 * count, 0.02 * count);
  EXPECT_NEAR(blur, 0.5 * count, 0.02 * count);
  EXPECT_NEAR(jitter, 0.8 * count, 0.02 * count);
  EXPECT_NEAR(solarize, 0.1 * count, 0.02 * count);
  // An area that does not fit at its ratio is drawn again: E[A | A <= exp(-x)] with A uniform in [0.08, 1] and x in [0,
  // log 4/3].
  EXPECT_NEAR(area / count, 0.4778, 0.006);
  EXPECT_EQ(orders.size(), 24u);
  for (const auto& [order, times] : orders) EXPECT_NEAR(times, count / 24.0, 150);
}

TEST(Views, CropsThatNeverFitFallBackToTheCenter) {
  ViewSettings settings;
  settings.crop_low = settings.crop_high = 1;  // the whole area at a ratio near one, of very wide or tall images
  EXPECT_EQ(draw_view(settings, 30, 300, Random(1, Purpose::view)).crop, (CropBox{0, 130, 30, 40}));
  EXPECT_EQ(draw_view(settings, 300, 30, Random(1, Purpose::view)).crop, (CropBox{130, 0, 40, 30}));
}

TEST(Views, ACropOfAnyRatioHasAPixel) {
  ViewSettings settings;
  settings.size = 8;
  settings.crop_low = settings.crop_high = 1;
  std::vector<std::uint8_t> image(32 * 32 * 3, 200);
  std::vector<float> view(8 * 8 * 3);
  for (const float ratio : {0.01f, 100.0f}) {
    settings.ratio_low = settings.ratio_high = ratio;
    const CropBox expected = ratio < 1 ? CropBox{0, 15, 32, 1} : CropBox{15, 0, 1, 32};
    EXPECT_EQ(draw_view(settings, 32, 32, Random(1, Purpose::view)).crop, expected) << ratio;
    EXPECT_NO_THROW(make_view(image.data(), 32, 32, settings, Random(1, Purpose::view), view.data())) << ratio;
  }
}

TEST(Views, SettingsOutOfRangeAreRefused) {
  const auto refused = [](auto change) {
    ViewSettings settings;
    change(settings);
    return error_or("accepted", [&] { check_view_settings(settings, "view 1"); });
  };
  EXPECT_EQ(refused([](ViewSettings&) {}), "accepted");
  EXPECT_EQ(refused([](ViewSettings& s) { s.flip_p = 1.5f; }), "view 1: flip_p is 1.5, expected 0 to 1");
  EXPECT_EQ(refused([](ViewSettings& s) { s.hue = 0.6f; }), "view 1: hue is 0.6, expected 0 to 0.5");
  EXPECT_EQ(refused([](ViewSettings& s) { s.gray_p = NAN; }), "view 1: gray_p is nan, expected 0 to 1");
  EXPECT_EQ(refused([](ViewSettings& s) { s.crop_high = 0.01f; }),
            "view 1: crop goes from 0.08 to 0.01, expected the smaller first");
  EXPECT_EQ(refused([](ViewSettings& s) { s.size = 0; }), "view 1: size is 0, expected 2 to 4096");
}

/// For any number of pixels. A constant image is the hardest, because all roundings of a sum go the same way.
TEST(Views, TheMeanOfLargeImagesIsExact) {
  Random random(1, Purpose::test);
  for (const std::int64_t channels : {1, 3}) {
    for (const bool constant : {false, true}) {
      Planes planes{.size = 700, .channels = channels, .values = {}, .scratch = {}};
      for (std::int64_t i = 0; i < channels * planes.area(); ++i)
        planes.values.push_back(constant ? 0.7f : random.uniform());
      double mean = 0;
      for (std::int64_t i = 0; i < planes.area(); ++i) {
        const double red = planes.plane(0)[i];
        mean += channels == 1 ? red : 0.2989 * red + 0.587 * planes.plane(1)[i] + 0.114 * planes.plane(2)[i];
      }
      mean /= static_cast<double>(planes.area());
      adjust_contrast(planes, 0);
      for (const float value : planes.values) ASSERT_NEAR(value, mean, 3e-7) << channels << ' ' << constant;
    }
  }
}

}  // namespace
}  // namespace vergence
