// stb_image reads zeros past the end of a file, and arbitrary memory for colors past the end of the palette. It counts
// the old 12-byte header twice and so misses four colors.
#include "datasets/decoders/bitmap.h"

#include <algorithm>

#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::int64_t file_header = 14, old_header = 12, usual_header = 40;  // bytes

std::int64_t little_endian(std::string_view bytes, std::int64_t at, int length) {
  std::int64_t value = 0;
  for (int i = length - 1; i >= 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(at + i)]);
  return value;
}

std::string little_endian_bytes(std::int64_t value, int length) {
  std::string text;
  for (int i = 0; i < length; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

/// The largest pixel value in the rows at `start`, with `bits` (1, 4 or 8) bits per pixel.
int largest_value(std::string_view bytes, std::int64_t start, std::int64_t row_bytes, int bits,
                  const ImageHeader& header) {
  int largest = 0;
  for (std::int64_t y = 0; y < header.height; ++y) {
    const char* row = bytes.data() + start + y * row_bytes;
    for (std::int64_t x = 0; x < header.width; ++x) {
      const auto first_bit = static_cast<int>(x * bits % 8);
      const int value = static_cast<unsigned char>(row[x * bits / 8]) >> (8 - bits - first_bit) & ((1 << bits) - 1);
      largest = std::max(largest, value);
    }
  }
  return largest;
}

}  // namespace

std::string with_usual_header(std::string_view bytes) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size < file_header + old_header || little_endian(bytes, 14, 4) != old_header) return "";
  const std::int64_t start = little_endian(bytes, 10, 4), bits = little_endian(bytes, 24, 2);
  const std::int64_t palette = file_header + old_header, end = std::clamp(start, palette, size);
  std::string colors;
  if (bits <= 8)
    for (std::int64_t at = palette; at + 3 <= end && at < palette + 3 * 256; at += 3)
      colors.append(bytes.substr(static_cast<std::size_t>(at), 3)) += '\0';
  std::string usual(bytes.substr(0, 10));
  usual += little_endian_bytes(file_header + usual_header + static_cast<std::int64_t>(colors.size()), 4);
  usual += little_endian_bytes(usual_header, 4);
  for (const std::int64_t side : {18, 20}) usual += little_endian_bytes(little_endian(bytes, side, 2), 4);
  usual += bytes.substr(22, 4);  // planes, bits
  usual.append(24, '\0');        // no compression, and default values
  return (usual += colors).append(bytes.substr(static_cast<std::size_t>(end)));
}

bool is_unread_bitmap(std::string_view bytes) {
  if (bytes.size() < 18) return false;
  const std::int64_t header_bytes = little_endian(bytes, 14, 4);
  if (header_bytes == 16 || header_bytes == 52 || header_bytes == 64) return true;
  if (header_bytes < usual_header || header_bytes > 124 || bytes.size() < 34) return false;
  const std::int64_t compression = little_endian(bytes, 30, 4);
  return compression == 1 || compression == 2 || compression == 4 || compression == 5;
}

void check_bitmap(std::string_view bytes, const std::string& name, const ImageHeader& header) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  const auto check_end = [&](std::int64_t end) {
    require_usage(size >= end, name, ": damaged BMP: the file ends ", end - size, " bytes too early");
  };
  check_end(file_header + usual_header);
  const std::int64_t start = little_endian(bytes, 10, 4), header_bytes = little_endian(bytes, 14, 4);
  check_end(file_header + header_bytes);
  const auto bits = static_cast<int>(little_endian(bytes, 28, 2));
  require_usage(bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32, name,
                ": damaged BMP: ", bits, " bits per pixel");
  const std::int64_t row_bytes = (header.width * bits + 31) / 32 * 4;  // the last row's padding may be missing
  check_end(start + (header.height - 1) * row_bytes + (header.width * bits + 7) / 8);
  if (bits > 8) return;
  const std::int64_t colors = (start - file_header - header_bytes) / 4;
  require_usage(largest_value(bytes, start, row_bytes, bits, header) < colors, name,
                ": damaged BMP: a pixel has none of its ", colors, " colors");
}

}  // namespace vergence
