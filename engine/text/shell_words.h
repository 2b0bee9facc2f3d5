// Command lines as a POSIX shell reads them.
#pragma once

#include <string>
#include <string_view>

namespace vergence {

/// A word that a shell reads as `text`: as it is where nothing in it means anything to a shell, else in single quotes.
std::string shell_word(std::string_view text);

/// The words of `argv`, to be pasted into a shell.
std::string shell_line(int argc, const char* const* argv);

}  // namespace vergence
