// Behind eight bytes a PNG file has chunks: the length of their data, four letters, the data, a checksum, which
// stb_image does not look at.
#include "datasets/png_palette.h"

#include <cstdint>

namespace vergence {
namespace {

constexpr std::size_t beginning = 8, around_data = 12, whole = 3 * 256;  // bytes

}  // namespace

std::string with_whole_palette(std::string_view bytes) {
  std::string padded;
  std::size_t copied = 0;
  for (std::size_t at = beginning; at + around_data <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    const std::size_t data = at + 8;
    if (bytes.substr(at + 4, 4) == "PLTE" && length < whole && length <= bytes.size() - data && length % 3 == 0) {
      padded += bytes.substr(copied, at - copied);
      padded += std::string("\0\0\3\0PLTE", 8);
      padded += bytes.substr(data, length);
      padded.append(whole - length, '\0');
      copied = data + length;
    }
    at += around_data + length;
  }
  if (copied > 0) padded += bytes.substr(copied);
  return padded;
}

}  // namespace vergence
