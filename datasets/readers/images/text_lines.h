// Splits text files written by people and spreadsheets into lines.
#pragma once

#include <string_view>
#include <vector>

namespace vergence {

/// The lines of a text without a byte order mark and carriage returns at line ends. They point into `text`.
std::vector<std::string_view> text_lines(std::string_view text);

}  // namespace vergence
