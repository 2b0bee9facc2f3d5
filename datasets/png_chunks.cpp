// Behind eight bytes a PNG file has chunks: the length of their data, four letters, the data, a checksum, which
// stb_image does not look at.
#include "datasets/png_chunks.h"

#include <cstdint>

#include "engine/shown.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t signature = 8, before_data = 8, checksum = 4, whole = 3 * 256;  // bytes

/// visit(at, kind, length) for each chunk that begins, up to the last one, IEND; its data begin `before_data` behind
/// `at`.
template <class Visit>
void each_chunk(std::string_view bytes, Visit visit) {
  for (std::size_t at = signature; at + before_data <= bytes.size();) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[at + i]);
    const std::string_view kind = bytes.substr(at + 4, 4);
    visit(at, kind, length);
    if (kind == "IEND") return;
    at += before_data + length + checksum;
  }
}

}  // namespace

void check_chunks(std::string_view bytes, const std::string& name) {
  each_chunk(bytes, [&](std::size_t at, std::string_view kind, std::size_t length) {
    const std::size_t left = bytes.size() - at - before_data;
    require_usage(length <= left, name, ": damaged image: its chunk ", shown(kind), " at byte ", at, " has ", length,
                  " bytes, of which ", left, " are there");
  });
}

std::string with_whole_palette(std::string_view bytes) {
  std::string padded;
  std::size_t copied = 0;
  each_chunk(bytes, [&](std::size_t at, std::string_view kind, std::size_t length) {
    const std::size_t data = at + before_data;
    if (kind != "PLTE" || length >= whole || length > bytes.size() - data || length % 3 != 0) return;
    padded += bytes.substr(copied, at - copied);
    padded += std::string("\0\0\3\0PLTE", 8);
    padded += bytes.substr(data, length);
    padded.append(whole - length, '\0');
    copied = data + length;
  });
  if (copied > 0) padded += bytes.substr(copied);
  return padded;
}

}  // namespace vergence
