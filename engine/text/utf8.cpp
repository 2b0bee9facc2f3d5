#include "engine/text/utf8.h"

namespace vergence {

std::size_t utf8_length(std::string_view text) {
  const auto within = [&](std::size_t at, unsigned low, unsigned high) {
    return at < text.size() && static_cast<unsigned char>(text[at]) >= low &&
           static_cast<unsigned char>(text[at]) <= high;
  };
  if (within(0, 0x00, 0x7f)) return 1;
  const std::size_t length = within(0, 0xc2, 0xdf) ? 2 : within(0, 0xe0, 0xef) ? 3 : within(0, 0xf0, 0xf4) ? 4 : 0;
  if (length == 0) return 0;
  // The second byte of some characters has a smaller range: values below it are overlong forms, values above it
  // surrogates or numbers that are too large.
  const auto first = static_cast<unsigned char>(text[0]);
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (!within(1, low, high)) return 0;
  for (std::size_t at = 2; at < length; ++at)
    if (!within(at, 0x80, 0xbf)) return 0;
  return length;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace vergence
