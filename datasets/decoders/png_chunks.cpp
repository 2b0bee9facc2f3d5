// After eight bytes, a PNG file consists of chunks: length of the data, four letters, data, and a CRC-32 of letters and
// data, which stb_image does not check. The Adler-32 of the decompressed bytes stays unchecked, because a mismatch
// could only show an encoder's mistake.
#include "datasets/decoders/png_chunks.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t signature = 8, before_data = 8, checksum = 4, whole = 3 * 256;  // bytes

std::uint32_t chunk_number(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

/// How each byte that is shifted out of the sum changes it.
constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0u);
  }
  return table;
}();

std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t sum = ~0u;
  for (const char byte : bytes) sum = sum >> 8 ^ crc_table[(sum ^ static_cast<unsigned char>(byte)) & 255];
  return ~sum;
}

bool is_chunk_name(std::string_view kind) {
  return std::all_of(kind.begin(), kind.end(), [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); });
}

/// Calls visit(at, kind, length) for each chunk up to IEND, or up to bytes that are no chunk; its data begins at `at` +
/// before_data. Returns where IEND is or should be, possibly past the file's end.
template <class Visit>
std::size_t each_chunk(std::string_view bytes, Visit visit) {
  std::size_t at = signature;
  while (at + before_data <= bytes.size()) {
    const std::size_t length = chunk_number(bytes, at);
    const std::string_view kind = bytes.substr(at + 4, 4);
    if (!is_chunk_name(kind)) break;
    visit(at, kind, length);
    if (kind == "IEND") break;
    at += before_data + length + checksum;
  }
  return at;
}

void check_checksum(std::string_view bytes, const std::string& name, std::size_t at, std::size_t length) {
  const std::size_t behind = at + before_data + length;
  if (behind + checksum > bytes.size()) return;  // the file ends before the checksum but has all data
  const std::uint32_t stored = chunk_number(bytes, behind), is = crc32_of(bytes.substr(at + 4, 4 + length));
  char sums[64];
  std::snprintf(sums, sizeof sums, "checksum %08x, expected %08x", is, stored);
  require_usage(is == stored, name, ": damaged image: its chunk ", shortened(bytes.substr(at + 4, 4)), " at byte ", at,
                " has the ", sums);
}

}  // namespace

void check_chunks(std::string_view bytes, const std::string& name) {
  bool pixels = false;
  each_chunk(bytes, [&](std::size_t at, std::string_view kind, std::size_t length) {
    const std::size_t left = bytes.size() - at - before_data;
    require_usage(length <= left, name, ": damaged image: its chunk ", shortened(kind), " at byte ", at, " has ",
                  length, " bytes, of which ", left, " are there");
    if (kind == "IDAT" || !pixels) check_checksum(bytes, name, at, length);
    pixels = pixels || kind == "IDAT";
  });
}

std::string with_whole_chunks(std::string_view bytes) {
  std::string mended;
  std::size_t copied = 0;
  const std::size_t end = each_chunk(bytes, [&](std::size_t at, std::string_view kind, std::size_t length) {
    const std::size_t data = at + before_data;
    if (kind != "PLTE" || length >= whole || length > bytes.size() - data || length % 3 != 0) return;
    mended += bytes.substr(copied, at - copied);
    mended += std::string("\0\0\3\0PLTE", 8);
    mended += bytes.substr(data, length);
    mended.append(whole - length, '\0');
    copied = data + length;
  });
  const bool ends = bytes.substr(std::min(end, bytes.size())).starts_with(std::string_view("\0\0\0\0IEND", 8));
  if (ends && copied == 0) return "";
  if (ends) return mended.append(bytes.substr(copied));
  mended += bytes.substr(copied, end - copied);
  if (end > bytes.size()) mended.append(end - bytes.size(), '\0');  // the rest of the last checksum
  return mended.append("\0\0\0\0IEND", 8);
}

}  // namespace vergence
