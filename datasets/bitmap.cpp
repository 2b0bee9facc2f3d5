// stb_image takes zeros for what is behind the end of a file, and whatever lies in memory for colours behind the
// palette's.
#include "datasets/bitmap.h"

#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::int64_t file_header = 14, old_header = 12;  // bytes

std::int64_t number(std::string_view bytes, std::int64_t at, int length) {
  std::int64_t value = 0;
  for (int i = length - 1; i >= 0; --i)
    value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(at + i)]);
  return value;
}

/// The largest pixel value of the rows at `start`, of which each byte holds some.
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

void check_bitmap(std::string_view bytes, const std::string& name, const ImageHeader& header) {
  const auto size = static_cast<std::int64_t>(bytes.size());
  const auto check_end = [&](std::int64_t end) {
    require_usage(size >= end, name, ": damaged BMP: the file has ", size, " bytes, expected ", end);
  };
  check_end(file_header + old_header);
  const std::int64_t start = number(bytes, 10, 4), header_bytes = number(bytes, 14, 4);
  const bool old = header_bytes == old_header;
  check_end(file_header + header_bytes);
  const auto bits = static_cast<int>(number(bytes, old ? 24 : 28, 2));
  require_usage(bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32, name,
                ": damaged BMP: ", bits, " bits per pixel");
  const std::int64_t row_bytes = (header.width * bits + 31) / 32 * 4;  // the last row's padding may be missing
  check_end(start + (header.height - 1) * row_bytes + (header.width * bits + 7) / 8);
  if (bits > 8) return;
  const std::int64_t colours = (start - file_header - header_bytes) / (old ? 3 : 4);
  require_usage(largest_value(bytes, start, row_bytes, bits, header) < colours, name,
                ": damaged BMP: a pixel has none of its ", colours, " colours");
}

}  // namespace vergence
