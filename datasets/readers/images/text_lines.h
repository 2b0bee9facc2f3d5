// Text files as people and spreadsheets write them.
#pragma once

#include <string_view>
#include <vector>

namespace vergence {

/// The lines of a text, without the byte order mark it may begin with and without carriage returns at their ends. They
/// lie in `text`.
std::vector<std::string_view> text_lines(std::string_view text);

}  // namespace vergence
