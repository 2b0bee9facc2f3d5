// What comes from a file, as part of a message.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// `text` on one line and short: control characters as \x0a, and of more than `most` bytes only the first, then "...".
inline std::string shown(std::string_view text, std::size_t most = 100) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string line;
  for (const char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f)
      line += c;
    else
      line += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
  }
  return text.size() > most ? line + "..." : line;
}

}  // namespace vergence
