#include "ssl/options/help.h"

#include <algorithm>

#include "engine/version.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::size_t text_column = 36, longest_type = 48;

std::string option_left(const HelpOption& option) {
  std::string left = "  " + option.name;
  if (!option.type.empty()) left += " " + option.type;
  if (!option.value.empty()) left += "=" + option.value;
  return left;
}

/// The end of the line of `text` that begins at `begin` and has room for `most` characters.
std::size_t line_end(const std::string& text, std::size_t begin, std::size_t most) {
  if (text.size() - begin <= most) return text.size();
  const std::size_t space = text.rfind(' ', begin + most);
  if (space != std::string::npos && space > begin) return space;
  const std::size_t mark = text.find_last_of("|,", begin + most - 1);
  return mark != std::string::npos && mark > begin ? mark + 1 : begin + most;
}

std::string option_lines(const HelpOption& given) {
  HelpOption option = given;
  if (option.type.size() > longest_type) {
    option.type = "NAME";
    option.text += ": " + given.type;
  }
  std::string left = option_left(option);
  if (option.text.empty()) return wrapped(left, 8);
  if (left.size() + 2 <= text_column) {
    left.resize(text_column, ' ');
    return wrapped(left + option.text, text_column);
  }
  return wrapped(left, 8) + wrapped(std::string(text_column, ' ') + option.text, text_column);
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t indent) {
  std::string lines;
  // Never break a line in its leading spaces.
  std::size_t begin = 0, room = help_width;
  const std::size_t first = std::min(text.find_first_not_of(' '), text.size());
  while (begin < text.size()) {
    std::size_t end = line_end(text, begin, room);
    if (begin == 0 && end <= first) end = text.size();
    if (begin > 0) lines += std::string(indent, ' ');
    lines += text.substr(begin, end - begin) + "\n";
    begin = std::min(text.find_first_not_of(' ', end), text.size());
    room = help_width - indent;
  }
  return lines;
}

std::string help_groups(const std::vector<HelpGroup>& groups) {
  std::string text;
  for (const HelpGroup& group : groups) {
    text += (text.empty() ? "" : "\n") + group.title + ":\n";
    for (const HelpOption& option : group.options) text += option_lines(option);
  }
  return text;
}

std::string version_line(const std::string& tool) {
  return join(tool, " ", version(), " (commit ", build_commit(), ")\n");
}

}  // namespace vergence
