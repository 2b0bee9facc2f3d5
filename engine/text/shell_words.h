// Command lines as a POSIX shell reads them.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// `text` as one shell word: unchanged if nothing in it is special to a shell, otherwise in single quotes.
std::string shell_word(std::string_view text);

/// The words of `argv`, ready to be pasted into a shell.
std::string shell_line(int argc, const char* const* argv);

}  // namespace vergence
