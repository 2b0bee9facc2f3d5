// The help text of all tools, and the exception that requests it.
#pragma once

#include <string>
#include <vector>

namespace vergence {

/// Not an error: the tool prints `text` and exits with status 0.
struct HelpRequest {
  std::string text;
};

/// An option as help shows it.
struct HelpOption {
  std::string name;   // "--lr", or a placeholder for an argument without a name
  std::string type;   // "NUMBER", "TEXT", "FILE", "DIR", "on|off", "sgd|lars|adam"; none for a switch
  std::string value;  // its default; empty: none
  std::string text;   // what it does
};

struct HelpGroup {
  std::string title;
  std::vector<HelpOption> options;
};

/// The longest line of help.
inline constexpr std::size_t help_width = 100;

/// All groups in order: "  --lr NUMBER=0.06    what it does", in lines of at most help_width columns.
std::string help_groups(const std::vector<HelpGroup>& groups);

/// The text in lines of at most help_width columns, broken at spaces (longer words after '|' or ','); all lines but the
/// first are indented.
std::string wrapped(const std::string& text, std::size_t indent);

/// "pretrain 0.1.0 (commit 1f2e...)".
std::string version_line(const std::string& tool);

}  // namespace vergence
