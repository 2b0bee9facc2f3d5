// Makes text from files, and names of files, safe to show in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace vergence {

/// `text` on one line, as a terminal can show it: control characters and bytes that are not UTF-8 become \x0a and the
/// like. Printable text stays as it is. Every message of a tool goes through this before it is printed.
std::string printable(std::string_view text);

/// The same, but cuts `text` after at most `max_bytes` bytes, between characters, and then adds "...".
std::string shortened(std::string_view text, std::size_t max_bytes = 100);

}  // namespace vergence
