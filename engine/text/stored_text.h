// Paths and names as texts in files. They are bytes, but the files (JSON, TOML, safetensors headers) hold only UTF-8.
//
// A name that is UTF-8 is stored as it is. Any other is stored as "bytes:" and the name, with every byte that is not
// part of a UTF-8 character, and '%' itself, written as % and two hexadecimal digits: the bytes "d\xe9j 5%" become
// "bytes:d%E9j 5%25". A name that itself begins with "bytes:" is stored that way too. Reading gives the same bytes.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// The text that represents `bytes` in a file: always UTF-8.
std::string stored_text(std::string_view bytes);

/// The bytes that `text` of a file represents. Throws UsageError, which begins with `where`, if a '%' after "bytes:" is
/// not followed by the two digits of a byte other than 0.
std::string read_stored_text(std::string_view text, const std::string& where);

}  // namespace vergence
