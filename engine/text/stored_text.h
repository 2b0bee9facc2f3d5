// Paths and names as texts in files. They are bytes, and the files (JSON, TOML, safetensors headers) hold UTF-8 alone.
//
// A name that is UTF-8 stands there as it is. Any other stands there as "bytes:" and the name, in which every byte that
// is no part of a UTF-8 character, and '%' itself, is written as % and two hexadecimal digits: the bytes "d\xe9j 5%"
// are "bytes:d%E9j 5%25". So does a name that itself begins with "bytes:"; what is read back is always the same bytes.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// The text that stands for `bytes` in a file: UTF-8, whatever they are.
std::string stored_text(std::string_view bytes);

/// The bytes that `text` of a file stands for. Throws UsageError, which begins with `where`, for a '%' behind "bytes:"
/// without the two digits of a byte other than 0.
std::string read_stored_text(std::string_view text, const std::string& where);

}  // namespace vergence
