// Reads a TOML configuration file into a flat list of named values with line numbers; [tables] and dotted names are
// equivalent. (CLI11's reader has no dotted names, no line numbers and only one layer below the command line.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// One value for an option, not yet checked.
struct Setting {
  enum class Type { untyped /* from the command line */, text, integer, number, boolean, list, names };
  std::string name;   // "simclr.temperature"
  std::string value;  // as on the command line: "0.2", "on", "60,80"; texts as in the file
  Type type = Type::untyped;
  std::string where;  // "run.toml:12: simclr.temperature" or "--simclr.temperature": begins error messages
  std::vector<std::string> names = {};  // only for extends_key: the bases
};

/// The key for the files that a configuration file extends (ssl/options/config_file.h): a string, or a list of strings.
inline constexpr const char* extends_key = "extends";

/// Returns the values of a TOML text in the order of their lines. Throws UsageError "<where>:<line>: …" if it cannot be
/// parsed or contains values that no option takes (dates, nested lists, lists of tables).
std::vector<Setting> read_toml(std::string_view text, const std::string& where);

/// A TOML string literal of UTF-8 text.
std::string toml_quote(std::string_view text);

}  // namespace vergence
