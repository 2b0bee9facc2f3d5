// What comes from a file or is the name of one, as part of a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vergence {

/// `text` on one line, as a terminal can show it: control characters and bytes that are not UTF-8 as \x0a. What is
/// printable already stays as it is. Every message of a tool goes through this before it is printed.
std::string printable(std::string_view text);

/// The same, and short: of more than `most` bytes only the first, in whole characters, then "...".
std::string shown(std::string_view text, std::size_t most = 100);

}  // namespace vergence
