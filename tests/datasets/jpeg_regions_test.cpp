// Parts of JPEG files against the whole, to the bit: every color space, sampling and scan, at every reduction.
#ifdef VERGENCE_JPEG_TURBO
#include <algorithm>
#include <gtest/gtest.h>

#include "datasets/decoders/image_file.h"
#include "kernels/random.h"
#include "tests/support/image_files.h"

namespace vergence {
namespace {

/// Edges and noise: neighbors differ.
std::vector<std::uint8_t> busy_picture(int height, int width, int channels, Random& random) {
  std::vector<std::uint8_t> pixels;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        pixels.push_back(
            static_cast<std::uint8_t>(random.below(60) + ((x / 13 + y / 17 + c) % 3) * 90 + (x * (c + 1)) % 15));
  return pixels;
}

ImageRegion random_region(int height, int width, int reduction, Random& random) {
  ImageRegion region{.reduction = reduction};
  region.top = random.below(static_cast<std::uint32_t>(height));
  region.left = random.below(static_cast<std::uint32_t>(width));
  region.height = 1 + random.below(static_cast<std::uint32_t>(height - region.top));
  region.width = 1 + random.below(static_cast<std::uint32_t>(width - region.left));
  return region;
}

/// How many values of the region are not the whole's.
std::int64_t wrong_values(const DecodedImage& part, const DecodedImage& whole, const ImageRegion& region) {
  const std::int64_t n = region.reduction;
  const std::int64_t bottom = std::min(whole.height, (region.top + region.height + n - 1) / n);
  const std::int64_t right = std::min(whole.width, (region.left + region.width + n - 1) / n);
  EXPECT_LE(part.top, region.top / n);
  EXPECT_LE(part.left, region.left / n);
  EXPECT_GE(part.top + part.height, bottom);
  EXPECT_GE(part.left + part.width, right);
  if (::testing::Test::HasFailure()) return -1;
  std::int64_t wrong = 0;
  for (std::int64_t y = region.top / n; y < bottom; ++y)
    for (std::int64_t x = 3 * (region.left / n); x < 3 * right; ++x)
      wrong += part.pixels[static_cast<std::size_t>(3 * (y - part.top) * part.width + x - 3 * part.left)] !=
               whole.pixels[static_cast<std::size_t>(3 * y * whole.width + x)];
  return wrong;
}

void expect_parts_of_whole(const JpegForm& form, int height, int width, int regions, Random& random) {
  const std::string file = jpeg_file(busy_picture(height, width, form.channels, random), height, width, form);
  DecodedImage whole, part;
  for (const int reduction : {1, 2, 4, 8}) {
    decode_image(file, "here", JpegLibrary::turbo, whole, {.reduction = reduction});
    for (int i = 0; i < regions; ++i) {
      const ImageRegion region = random_region(height, width, reduction, random);
      decode_image(file, "here", JpegLibrary::turbo, part, region);
      ASSERT_EQ(wrong_values(part, whole, region), 0)
          << height << " x " << width << " / " << reduction << ": " << region.top << ',' << region.left << ' '
          << region.height << " x " << region.width;
    }
  }
}

using Sampling = std::vector<std::array<int, 2>>;

std::string text_of(const Sampling& sampling) {
  std::string text;
  for (const auto& [across, down] : sampling) text += std::to_string(across) + 'x' + std::to_string(down) + ' ';
  return text;
}

/// Of three components: 4:4:4, 4:2:2, 4:4:0, 4:2:0, 4:1:1, 4:1:0 and some that no camera writes.
const std::vector<Sampling> three_components{
    {{1, 1}, {1, 1}, {1, 1}}, {{2, 1}, {1, 1}, {1, 1}}, {{1, 2}, {1, 1}, {1, 1}}, {{2, 2}, {1, 1}, {1, 1}},
    {{4, 1}, {1, 1}, {1, 1}}, {{4, 2}, {1, 1}, {1, 1}}, {{1, 4}, {1, 1}, {1, 1}}, {{2, 4}, {1, 1}, {1, 1}},
    {{2, 2}, {2, 1}, {1, 2}}, {{1, 1}, {2, 2}, {2, 2}}, {{2, 2}, {1, 2}, {1, 2}}, {{4, 1}, {2, 1}, {1, 1}},
    {{3, 1}, {1, 1}, {1, 1}}, {{3, 2}, {1, 1}, {1, 1}}, {{1, 1}, {4, 2}, {1, 1}}, {{1, 4}, {1, 2}, {1, 1}},
    {{2, 3}, {1, 1}, {1, 1}}, {{4, 1}, {1, 2}, {1, 1}}};

TEST(JpegRegions, AreTheWholeImagesPixels) {
  Random random(5, Purpose::view);
  for (const Sampling& sampling : three_components) {
    SCOPED_TRACE(text_of(sampling));
    expect_parts_of_whole({.sampling = sampling}, 260, 257, 8, random);
    expect_parts_of_whole({.sampling = sampling, .restart = 3}, 61, 83, 8, random);
    expect_parts_of_whole({.progressive = true, .sampling = sampling}, 61, 83, 8, random);
    if (HasFailure()) return;
  }
}

TEST(JpegRegions, AreTheWholeImagesPixelsInAllColorSpaces) {
  Random random(6, Purpose::view);
  for (const bool plain : {false, true})
    for (const Sampling& sampling :
         {Sampling{{1, 1}, {1, 1}, {1, 1}}, {{2, 2}, {1, 1}, {1, 1}}, {{4, 1}, {1, 1}, {1, 1}}}) {
      SCOPED_TRACE(text_of(sampling) + (plain ? "RGB, CMYK" : "YCbCr, YCCK"));
      expect_parts_of_whole({.plain = plain, .sampling = sampling}, 233, 310, 8, random);
      Sampling four = sampling;
      four.push_back(sampling[0]);
      for (const int marker : {0, 1})
        expect_parts_of_whole({.channels = 4, .plain = plain, .marker = marker, .sampling = four}, 233, 310, 20,
                              random);
      if (HasFailure()) return;
    }
  for (const Sampling& sampling : {Sampling{{1, 1}}, {{2, 2}}, {{1, 3}}})
    expect_parts_of_whole({.channels = 1, .sampling = sampling}, 233, 310, 8, random);
}

}  // namespace
}  // namespace vergence
#endif
