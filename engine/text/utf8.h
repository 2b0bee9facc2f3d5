// What of a text is UTF-8. Names of files are bytes: any but 0 and '/'.
#pragma once

#include <cstddef>
#include <string_view>

namespace vergence {

/// Bytes of the character that `text` begins with, 1 to 4; 0 where it begins with none: overlong forms, surrogates and
/// numbers above U+10FFFF are none.
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace vergence
