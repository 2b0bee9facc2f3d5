// Decoding images: every kind that users have, parts of images, what is damaged; both JPEG decoders.
#include "datasets/decoders/image_file.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <tuple>

#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/image_files.h"
#include "tests/support/real_data.h"

namespace vergence {
namespace {

std::vector<JpegLibrary> libraries() {
  if (has_jpeg_turbo()) return {JpegLibrary::turbo, JpegLibrary::stb};
  return {JpegLibrary::stb};
}

DecodedImage decoded(const std::string& bytes, JpegLibrary library, const ImageRegion& region = {}) {
  DecodedImage image;
  decode_image(bytes, "here", library, image, region);
  return image;
}

/// Mean and largest difference.
std::pair<double, int> difference(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  int worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const int apart = std::abs(a[i] - b[i]);
    sum += apart, worst = std::max(worst, apart);
  }
  return {sum / static_cast<double>(std::max<std::size_t>(1, a.size())), worst};
}

#ifdef VERGENCE_JPEG_TURBO
TEST(ImageFile, EverySamplingAndScanOfJpeg) {
  const int height = 75, width = 102;
  const auto picture = gradient_picture(height, width, 3);
  for (const auto& [across, down] : {std::pair{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 1}, {4, 2}})
    for (const bool progressive : {false, true}) {
      const std::string file = jpeg_file(picture, height, width, {3, across, down, progressive});
      const ImageHeader header = image_header(file, "here");
      EXPECT_EQ(header.height, height);
      EXPECT_EQ(header.width, width);
      for (const JpegLibrary library : libraries()) {
        const DecodedImage image = decoded(file, library);
        ASSERT_EQ(image.height, height);
        ASSERT_EQ(image.width, width);
        EXPECT_LT(difference(image.pixels, picture).first, 1.5) << across << 'x' << down << ' ' << progressive;
      }
    }
}

TEST(ImageFile, GrayIsRepeatedAndInkBecomesLight) {
  const int height = 20, width = 33;
  const auto gray = gradient_picture(height, width, 1);
  std::vector<std::uint8_t> light, stored, expected;
  for (const std::uint8_t value : gray) light.insert(light.end(), 3, value);
  const auto ink = gradient_picture(height, width, 4);  // inverted: 255 is no ink
  for (std::size_t i = 0; i < ink.size(); i += 4)
    for (std::size_t c = 0; c < 3; ++c)
      expected.push_back(static_cast<std::uint8_t>((ink[i + c] * ink[i + 3] + 127) / 255));
  for (const bool progressive : {false, true})
    for (const JpegLibrary library : libraries()) {
      EXPECT_LT(
          difference(decoded(jpeg_file(gray, height, width, {1, 1, 1, progressive}), library).pixels, light).first,
          1.0);
      EXPECT_LT(
          difference(decoded(jpeg_file(ink, height, width, {4, 1, 1, progressive}), library).pixels, expected).first,
          1.5);
    }
}

/// A part is what the whole image has there, to the bit; nothing is more than asked for plus a margin.
TEST(ImageFile, PartsAreThoseOfTheWhole) {
  const int height = 233, width = 310;
  const auto picture = gradient_picture(height, width, 3);
  for (const auto& [across, down] : {std::pair{1, 1}, {2, 1}, {2, 2}})
    for (const bool progressive : {false, true}) {
      const std::string file = jpeg_file(picture, height, width, {3, across, down, progressive});
      for (const int reduction : {1, 2, 4, 8}) {
        const DecodedImage whole = decoded(file, JpegLibrary::turbo, {.reduction = reduction});
        EXPECT_EQ(whole.height, (height + reduction - 1) / reduction);
        for (const ImageRegion& region :
             {ImageRegion{0, 0, 10, 10, reduction}, ImageRegion{100, 64, 50, 60, reduction},
              ImageRegion{200, 251, 33, 59, reduction}, ImageRegion{7, 0, 1, 310, reduction}}) {
          const DecodedImage part = decoded(file, JpegLibrary::turbo, region);
          ASSERT_LE(part.top * reduction, region.top);
          ASSERT_LE(part.left * reduction, region.left);
          ASSERT_GE((part.top + part.height) * reduction, region.top + region.height);
          ASSERT_GE((part.left + part.width) * reduction, region.left + region.width);
          EXPECT_LT(part.height, region.height / reduction + 40);
          for (std::int64_t y = region.top / reduction; y * reduction < region.top + region.height; ++y)
            for (std::int64_t x = region.left / reduction; x * reduction < region.left + region.width; ++x)
              for (std::int64_t c = 0; c < 3; ++c)
                ASSERT_EQ(part.pixels[static_cast<std::size_t>(3 * ((y - part.top) * part.width + x - part.left) + c)],
                          whole.pixels[static_cast<std::size_t>(3 * (y * whole.width + x) + c)])
                    << y << ',' << x << " reduced " << reduction;
        }
      }
    }
}

/// As Adobe stores them, which other programs have taken over without the marker that says so.
TEST(ImageFile, FourComponentsAreInvertedWithOrWithoutAMarker) {
  const int height = 20, width = 33;
  const auto ink = gradient_picture(height, width, 4);  // 255 is no ink
  std::vector<std::uint8_t> expected;
  for (std::size_t i = 0; i < ink.size(); i += 4)
    for (std::size_t c = 0; c < 3; ++c)
      expected.push_back(static_cast<std::uint8_t>((ink[i + c] * ink[i + 3] + 127) / 255));
  for (const bool plain : {false, true})
    for (const int marker : {0, 1})
      for (const JpegLibrary library : libraries()) {
        const std::string file = jpeg_file(ink, height, width, {.channels = 4, .plain = plain, .marker = marker});
        EXPECT_EQ(file.find("Adobe") != std::string::npos, marker == 1);
        EXPECT_LT(difference(decoded(file, library).pixels, expected).first, 1.5) << plain << marker;
      }
}

/// A segment of a scan's beginning, which is in no scan.
std::string scan_beginnings(int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += std::string("\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0", 14);
  return bytes;
}

/// Motion photos are a JPEG and a video behind it; previews lie in segments.
TEST(ImageFile, OnlyAnImagesOwnScansCount) {
  const int height = 1100, width = 1000;
  const std::string file = jpeg_file(gradient_picture(height, width, 3), height, width, {3, 2, 2});
  const int many = 5000;  // 1,100,000 pixels each: more than 16 x 2^28
  const std::string followed = file + "MotionPhoto_Data" + scan_beginnings(many) + "\xff\xd9";
  std::string preview = file.substr(0, 2);
  for (int i = 0; i < 2; ++i)
    preview +=
        std::string("\xff\xe1\xaf\xcc", 4) + std::string("\xff\xd8") + scan_beginnings(3214) + "\xff\xd9\xff\xd9";
  preview += file.substr(2);
  for (const JpegLibrary library : libraries()) {
    const DecodedImage image = decoded(file, library);
    for (const std::string& other : {followed, preview}) EXPECT_EQ(decoded(other, library).pixels, image.pixels);
    const std::string scans = file.substr(0, file.size() - 2) + scan_beginnings(many) + "\xff\xd9";
    expect_contains(message_of([&] { decoded(scans, library); }), {"here: has 5001 scans of 1100 x 1000 pixels"});
  }
}

/// libjpeg only warns of it and goes on with gray.
TEST(ImageFile, DamageWithinAScanIsNoImage) {
  const std::string file = jpeg_file(gradient_picture(64, 64, 3), 64, 64, {3, 2, 2});
  const std::size_t middle = file.size() - 60;
  for (const char* marker : {"\xff\xc5", "\xff\xd9"}) {
    const std::string damaged = file.substr(0, middle) + marker + file.substr(middle);
    expect_contains(message_of([&] { decoded(damaged, JpegLibrary::turbo); }),
                    {"here: damaged JPEG: Corrupt JPEG data: premature end of data segment"});
  }
  const std::string restarts = jpeg_file(gradient_picture(64, 64, 3), 64, 64, {.restart = 2});
  std::string lost = restarts;
  lost.erase(lost.find("\xff\xd1"), 2);
  expect_contains(message_of([&] { decoded(lost, JpegLibrary::turbo); }), {"here: damaged JPEG: Corrupt JPEG data: "});
}

/// Cameras leave them, and no pixel is lost.
TEST(ImageFile, StrayBytesBetweenSegmentsAreNoDamage) {
  const std::string file = jpeg_file(gradient_picture(64, 64, 3), 64, 64, {.progressive = true});
  const std::size_t second = file.find("\xff\xda", file.find("\xff\xda") + 2);
  const std::string stray = file.substr(0, second) + "stray" + file.substr(second);
  EXPECT_EQ(decoded(stray, JpegLibrary::turbo).pixels, decoded(file, JpegLibrary::turbo).pixels);
}

TEST(ImageFile, EveryCutJpegIsRefusedInOneLine) {
  for (const bool progressive : {false, true}) {
    const std::string file = jpeg_file(gradient_picture(40, 40, 3), 40, 40, {3, 2, 2, progressive});
    for (const JpegLibrary library : libraries())
      for (std::size_t size = 0; size + 2 < file.size(); size += 7) {
        const std::string text = message_of([&] { decoded(file.substr(0, size), library); });
        expect_contains(text, {"here: "});
      }
  }
}
#endif

TEST(ImageFile, EveryKindOfPng) {
  const auto two = [](const PngForm& form, const std::string& row) {
    return decoded(png_file({row, row}, 2, form), JpegLibrary::stb).pixels;
  };
  const auto rows = [](std::vector<std::uint8_t> row) {
    row.insert(row.end(), row.begin(), row.begin() + 6);
    return row;
  };
  EXPECT_EQ(two({8, 2, ""}, "\1\2\3\4\5\6"), rows({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(two({8, 0, ""}, "\7\x9"), rows({7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(two({1, 0, ""}, "\x80"), rows({255, 255, 255, 0, 0, 0}));
  EXPECT_EQ(two({8, 4, ""}, std::string("\7\0\x9\x80", 4)), rows({7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(two({8, 6, ""}, std::string("\1\2\3\0\4\5\6\x80", 8)), rows({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(two({8, 3, "\1\2\3\4\5\6"}, std::string("\1\0", 2)), rows({4, 5, 6, 1, 2, 3}));
  EXPECT_EQ(two({16, 0, ""}, "\7\x40\x9\x80"), rows({7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(two({16, 2, ""}, "\1\x10\2\x10\3\x10\4\x10\5\x10\6\x10"), rows({1, 2, 3, 4, 5, 6}));
}

TEST(ImageFile, BitmapsFromTheBottomUpAndFromTheTopDown) {
  const std::vector<std::uint8_t> up{6, 5, 4, 3, 2, 1}, down{3, 2, 1, 6, 5, 4};
  const std::string rows("\1\2\3\0\4\5\6\0", 8);
  EXPECT_EQ(decoded(bmp_file(rows, 2, 1, 24, ""), JpegLibrary::stb).pixels, up);
  EXPECT_EQ(decoded(bmp_file(rows, -2, 1, 24, ""), JpegLibrary::stb).pixels, down);
  const std::string palette("\1\2\3\0\4\5\6\0", 8);
  EXPECT_EQ(decoded(bmp_file(std::string("\0\0\0\0\1\0\0\0", 8), 2, 1, 8, palette), JpegLibrary::stb).pixels, up);
}

/// The header of OS/2 and Windows 2, whose palette has three bytes a color.
std::string old_bmp_file(const std::string& rows, int height, int width, int bits, const std::string& palette) {
  const auto start = static_cast<std::int64_t>(26 + palette.size());
  return "BM" + little_endian(start + static_cast<std::int64_t>(rows.size()), 4) + std::string(4, '\0') +
         little_endian(start, 4) + little_endian(12, 4) + little_endian(width, 2) + little_endian(height, 2) +
         little_endian(1, 2) + little_endian(bits, 2) + palette + rows;
}

TEST(ImageFile, BitmapsWithTheOldHeader) {
  std::string palette, row;
  std::vector<std::uint8_t> expected;
  for (int i = 0; i < 256; ++i) {
    palette += {static_cast<char>(i ^ 85), static_cast<char>(255 - i), static_cast<char>(i)};
    row += static_cast<char>(i);
    for (const int value : {i, 255 - i, i ^ 85}) expected.push_back(static_cast<std::uint8_t>(value));
  }
  EXPECT_EQ(decoded(old_bmp_file(row, 1, 256, 8, palette), JpegLibrary::stb).pixels, expected);
  const std::string nibbles("\x01\x23\x45\x67\x89\xab\xcd\xef");
  EXPECT_EQ(decoded(old_bmp_file(nibbles, 1, 16, 4, palette.substr(0, 48)), JpegLibrary::stb).pixels,
            std::vector(expected.begin(), expected.begin() + 48));
  EXPECT_EQ(decoded(old_bmp_file(std::string("\xa0\0\0\0", 4), 1, 3, 1, palette.substr(0, 6)), JpegLibrary::stb).pixels,
            (std::vector<std::uint8_t>{1, 254, 84, 0, 255, 85, 1, 254, 84}));
  EXPECT_EQ(decoded(old_bmp_file(std::string("\1\2\3\0\4\5\6\0", 8), 2, 1, 24, ""), JpegLibrary::stb).pixels,
            (std::vector<std::uint8_t>{6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(decoded(old_bmp_file(std::string("\x1f\x7c\0\0", 4), 1, 1, 16, ""), JpegLibrary::stb).pixels,
            (std::vector<std::uint8_t>{255, 0, 255}));
  expect_contains(message_of([&] { decoded(old_bmp_file(row, 1, 256, 8, palette.substr(0, 765)), JpegLibrary::stb); }),
                  {"here: damaged BMP: a pixel has none of its 255 colors"});
  expect_contains(message_of([&] { decoded(old_bmp_file(row, 2, 256, 8, palette), JpegLibrary::stb); }),
                  {"here: damaged BMP: the file ends 256 bytes too early"});
}

TEST(ImageFile, BitmapsMustHaveTheirPixelsAndColors) {
  const auto complaint = [](const std::string& bytes) { return message_of([&] { decoded(bytes, JpegLibrary::stb); }); };
  const std::string palette("\1\2\3\0\4\5\6\0", 8), rows("\0\0\0\0\2\0\0\0", 8);
  expect_contains(complaint(bmp_file(rows, 2, 1, 8, palette)), {"here: damaged BMP: a pixel has none of its 2 colors"});
  expect_contains(complaint(bmp_file(rows, 200, 200, 24, "")),
                  {"here: damaged BMP: the file ends 119992 bytes too early"});
}

TEST(ImageFile, BitmapsOfRareKindsAreNotCalledDamaged) {
  const auto complaint = [](const std::string& bytes) { return message_of([&] { image_header(bytes, "here"); }); };
  const std::string usual = bmp_file(std::string(4, '\0'), 1, 1, 8, std::string(1024, '\0'));
  const auto with = [&](std::size_t at, std::int64_t value, int bytes) {
    std::string file = usual;
    return file.replace(at, static_cast<std::size_t>(bytes), little_endian(value, bytes));
  };
  for (const int compression : {1, 2, 4, 5})
    EXPECT_EQ(complaint(with(30, compression, 4)),
              "here: a BMP of a kind that is not read (run-length coded, or another header)");
  for (const int header : {16, 52, 64})
    EXPECT_EQ(complaint(with(14, header, 4)),
              "here: a BMP of a kind that is not read (run-length coded, or another header)");
  EXPECT_EQ(complaint(with(14, 41, 4)), "here: damaged image header");
  EXPECT_EQ(complaint(with(30, 77, 4)), "here: damaged image header");
  EXPECT_EQ(complaint(usual.substr(0, 20)), "here: damaged image header");
  EXPECT_EQ(complaint(usual.substr(0, 16)), "here: damaged image header");
}

/// Whichever it is, up to the last of the pixels' chunk and its checksum: no other pixels are read.
TEST(ImageFile, AFlippedBitOfAPngIsDamage) {
  std::vector<std::string> rows;
  for (int y = 0; y < 5; ++y) rows.emplace_back(6, static_cast<char>(17 * y));
  const std::string file = png_file(rows, 2, {});
  const std::vector<std::uint8_t> whole = decoded(file, JpegLibrary::stb).pixels;
  const std::size_t end = file.size() - 12;  // of the pixels' chunk
  for (std::size_t at = 8; at < end; ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = file;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      std::vector<std::uint8_t> pixels;
      const std::string complaint = error_or("", [&] { pixels = decoded(damaged, JpegLibrary::stb).pixels; });
      if (complaint.empty()) {
        EXPECT_EQ(pixels, whole) << at << ' ' << bit;  // the chunk is longer: the pixels are all there, and end before
        EXPECT_TRUE(at < 41 && at >= 33) << at;
      } else {
        expect_contains(complaint, {"here: "});
      }
    }
  std::string damaged = file;
  damaged[end - 6] ^= 1;  // of the pixels
  const auto number = [](const std::string& bytes) {
    char text[16];
    std::snprintf(text, sizeof text, "%02x%02x%02x%02x", bytes[0] & 255, bytes[1] & 255, bytes[2] & 255,
                  bytes[3] & 255);
    return std::string(text);
  };
  const std::string chunk = png_chunk("IDAT", damaged.substr(41, end - 4 - 41));
  expect_contains(message_of([&] { decoded(damaged, JpegLibrary::stb); }),
                  {"here: damaged image: its chunk IDAT at byte 33 has the checksum " +
                   number(chunk.substr(chunk.size() - 4)) + ", expected " + number(file.substr(end - 4, 4))});
}

TEST(ImageFile, APngMayLackWhatFollowsItsPixels) {
  const std::string file = png_file({std::string(6, '\7')}, 2, {});
  const std::vector<std::uint8_t> pixels(6, 7);
  const std::string text("\0\0\0\4tEXta\0bc....", 16);  // its checksum is wrong
  const std::string begun = file.substr(0, file.size() - 12), end = file.substr(file.size() - 12);
  for (const std::string& other : {begun, begun.substr(0, begun.size() - 2), begun.substr(0, begun.size() - 4),
                                   begun + text + end, begun + text, begun + "....????", begun + std::string(40, '\0')})
    EXPECT_EQ(decoded(other, JpegLibrary::stb).pixels, pixels);
  const std::string before = file.substr(0, 33) + text + file.substr(33);
  expect_contains(message_of([&] { decoded(before, JpegLibrary::stb); }),
                  {"here: damaged image: its chunk tEXt at byte 33"});
}

TEST(ImageFile, ExactLeavesThreeSamplesForAPixel) {
  for (const auto& [length, fast, exact] : {std::tuple{31.0, 1, 1},
                                            {64.0, 2, 1},
                                            {128.0, 4, 1},
                                            {191.0, 4, 1},
                                            {192.0, 4, 2},
                                            {256.0, 8, 2},
                                            {384.0, 8, 4},
                                            {768.0, 8, 8}}) {
    EXPECT_EQ(max_reduced(DecodeRule::fast, length, 32), fast) << length;
    EXPECT_EQ(max_reduced(DecodeRule::exact, length, 32), exact) << length;
  }
}

TEST(ImageFile, ColorsThatAPaletteDoesNotHaveAreBlack) {
  const DecodedImage image = decoded(png_file({std::string("\1\2", 2)}, 2, {8, 3, "\1\2\3\4\5\6"}), JpegLibrary::stb);
  EXPECT_EQ(image.pixels, (std::vector<std::uint8_t>{4, 5, 6, 0, 0, 0}));
}

TEST(ImageFile, WhatIsNoImageIsRefused) {
  const auto complaint = [](const std::string& bytes) {
    return message_of([&] { decoded(bytes, JpegLibrary::turbo); });
  };
  expect_contains(complaint(""), {"here: the file is empty"});
  expect_contains(complaint("This is text.\nMore of it."), {"here: not a JPEG, PNG or BMP image"});
  expect_contains(complaint("\xff\xd8\xff"), {"here: damaged image header"});
  const std::string png = png_file({std::string(6, '\1')}, 2, {});
  expect_contains(complaint(png.substr(0, png.size() - 20)), {"here: damaged image: "});
  expect_contains(complaint(png.substr(0, 20)), {"here: damaged image header"});
}

TEST(ImageFile, AFewBytesCannotAskForAllMemory) {
  std::string png = png_file({std::string(6, '\1')}, 2, {});
  png.replace(16, 8, big_endian(1 << 20) + big_endian(1 << 20));
  const std::string chunk = png_chunk("IHDR", png.substr(16, 13));
  png.replace(8, chunk.size(), chunk);
  expect_contains(message_of([&] { image_header(png, "here"); }),
                  {"here: has 1048576 x 1048576 pixels, expected at least 1 and at most"});
  png.replace(16, 8, big_endian(1 << 14) + big_endian(1 << 14));
  expect_contains(message_of([&] { decoded(png, JpegLibrary::stb); }),
                  {"here: damaged image: 16384 x 16384 pixels in"});
  std::string long_chunk = png_file({std::string(6, '\1')}, 2, {});
  const std::size_t at = long_chunk.find("IDAT") - 4;
  const std::string left = std::to_string(long_chunk.size() - at - 8);
  long_chunk.replace(at, 4, big_endian(1 << 30));
  const std::string begun = long_chunk.substr(0, at + 8);  // nothing behind the chunk's name
  expect_contains(message_of([&] { decoded(begun, JpegLibrary::stb); }),
                  {" has 1073741824 bytes, of which 0 are there"});
  expect_contains(
      message_of([&] { decoded(long_chunk, JpegLibrary::stb); }),
      {"here: damaged image: its chunk IDAT at byte 33 has 1073741824 bytes, of which " + left + " are there"});
}

// ---- real files

struct Listed {
  std::string path, format;
  std::int64_t width, height;
  double mean[3];
};

/// The samples' manifest, or nothing.
std::vector<Listed> manifest(std::filesystem::path& folder) {
  folder = real_data("imagenet_samples");
  std::vector<Listed> list;
  std::ifstream file(folder / "MANIFEST.tsv");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::vector<std::string> cells;
    std::istringstream columns(line);
    for (std::string cell; std::getline(columns, cell, '\t');) cells.push_back(cell);
    if (cells.size() < 12 || cells[2] == "-") continue;
    list.push_back({cells[0],
                    cells[1],
                    std::stoll(cells[2]),
                    std::stoll(cells[3]),
                    {std::stod(cells[9]), std::stod(cells[10]), std::stod(cells[11])}});
  }
  return list;
}

TEST(ImageFileReal, SizesAndMeanColorsAreThoseOfTheManifest) {
  std::filesystem::path folder;
  const std::vector<Listed> list = manifest(folder);
  if (list.empty()) GTEST_SKIP() << no_real_data("imagenet_samples");
  for (const JpegLibrary library : libraries()) {
    const double tolerance = library == JpegLibrary::turbo ? 0.02 : 0.7;
    for (const Listed& entry : list) {
      DecodedImage image;
      decode_image(read_file((folder / entry.path).string()), entry.path, library, image);
      EXPECT_EQ(image.height, entry.height) << entry.path;
      EXPECT_EQ(image.width, entry.width) << entry.path;
      for (std::size_t c = 0; c < 3; ++c) {
        double sum = 0;
        for (std::size_t i = c; i < image.pixels.size(); i += 3) sum += image.pixels[i];
        EXPECT_NEAR(sum / static_cast<double>(image.height * image.width), entry.mean[c], tolerance) << entry.path;
      }
    }
  }
  for (const char* bad : {"empty.JPEG", "not_an_image.JPEG", "truncated.JPEG"})
    for (const JpegLibrary library : libraries()) {
      const std::string bytes = read_file((folder / "odd/bad" / bad).string());
      DecodedImage image;
      expect_contains(message_of([&] { decode_image(bytes, bad, library, image); }), {bad});
    }
}

}  // namespace
}  // namespace vergence
