#include "engine/text/stored_text.h"

#include <algorithm>

#include "engine/text/printable.h"
#include "engine/text/utf8.h"
#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::string_view mark = "bytes:";

}  // namespace

std::string stored_text(std::string_view bytes) {
  if (is_utf8(bytes) && !bytes.starts_with(mark)) return std::string(bytes);
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string text(mark);
  while (!bytes.empty()) {
    const std::size_t length = utf8_length(bytes);
    const std::string_view next = bytes.substr(0, std::max<std::size_t>(length, 1));
    bytes.remove_prefix(next.size());
    if (length > 0 && next != "%") {
      text += next;
      continue;
    }
    const auto byte = static_cast<unsigned char>(next[0]);
    text += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

std::string read_stored_text(std::string_view text, const std::string& where) {
  if (!text.starts_with(mark)) return std::string(text);
  std::string bytes;
  for (std::string_view rest = text.substr(mark.size()); !rest.empty();) {
    if (rest[0] != '%') {
      bytes += rest[0];
      rest.remove_prefix(1);
      continue;
    }
    const std::string_view hex = rest.substr(1, 2);
    const std::uint32_t byte = hex.size() == 2 ? hexadecimal_of(hex).value_or(0) : 0;
    require_usage(byte != 0, where, ": expected '", mark,
                  "' and a name in which % and two hexadecimal digits stand for a byte other than 0 (%25 for %), got '",
                  shortened(text), "'");
    bytes += static_cast<char>(byte);
    rest.remove_prefix(3);
  }
  return bytes;
}

}  // namespace vergence
