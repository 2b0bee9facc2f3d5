#include "engine/text/printable.h"

#include <algorithm>

#include "engine/text/utf8.h"

namespace vergence {
namespace {

/// True for control characters: U+0000 to U+001F and U+007F to U+009F. Some of them begin terminal commands.
bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return first < 0x20 || first == 0x7f || (first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string line;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view next = text.substr(0, std::max<std::size_t>(length, 1));
    text.remove_prefix(next.size());
    if (length > 0 && !is_control(next)) {
      line += next;
      continue;
    }
    for (const char c : next) {
      const auto byte = static_cast<unsigned char>(c);
      line += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return line;
}

std::string shortened(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return printable(text);
  std::size_t end = max_bytes;
  for (std::size_t back = 1; back <= std::min<std::size_t>(max_bytes, 3); ++back)
    if (utf8_length(text.substr(max_bytes - back)) > back) end = max_bytes - back;
  return printable(text.substr(0, end)) + "...";
}

}  // namespace vergence
