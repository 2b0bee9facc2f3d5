// Finds the UTF-8 characters of a text. Names of files are bytes: any but 0 and '/'.
#pragma once

#include <cstddef>
#include <string_view>

namespace vergence {

/// The length in bytes, 1 to 4, of the character at the start of `text`; 0 if there is none. Overlong forms, surrogates
/// and numbers above U+10FFFF do not count as characters.
std::size_t utf8_length(std::string_view text);

bool is_utf8(std::string_view text);

}  // namespace vergence
