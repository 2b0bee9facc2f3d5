// How all tools show their options, and what is thrown when help was asked for.
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
  std::string name;   // "--lr", or what stands for an argument without a name
  std::string type;   // "NUMBER", "TEXT", "FILE", "DIR", "on|off", "sgd|lars|adam"; none for a switch
  std::string value;  // its default; none if empty
  std::string text;   // what it does
};

struct HelpGroup {
  std::string title;
  std::vector<HelpOption> options;
};

/// No line of help is longer.
inline constexpr std::size_t help_width = 100;

/// The groups one after the other: "  --lr NUMBER=0.06    what it does", in lines of at most help_width columns.
std::string help_groups(const std::vector<HelpGroup>& groups);

/// The text in lines of at most help_width columns, broken at spaces (and, in words that are longer, behind '|' or
/// ','); the lines but the first are indented.
std::string wrapped(const std::string& text, std::size_t indent);

/// "pretrain 0.1.0 (commit 1f2e...)".
std::string version_line(const std::string& tool);

}  // namespace vergence
