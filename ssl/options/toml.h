// Configuration files: TOML in, a flat list of named values with their line numbers out. Tables and dotted names are
// the same thing. (CLI11's own reader knows neither dotted names nor line numbers, and only one layer below the
// command line; here there are two, the recipe and the file.)
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// One value on its way to an option.
struct Setting {
  enum class Type { untyped /* from the command line */, text, integer, number, boolean, list, names };
  std::string name;   // "simclr.temperature"
  std::string value;  // as on the command line: "0.2", "on", "60,80"; of a file's texts as they stand there
  Type type = Type::untyped;
  std::string where;  // "run.toml:12: simclr.temperature" or "--simclr.temperature": begins error messages
  std::vector<std::string> names = {};  // of extends_key alone: the bases
};

/// What names the files that a configuration file extends (ssl/options/config_file.h): a string, or a list of strings.
inline constexpr const char* extends_key = "extends";

/// The values of a TOML text in the order of their lines. Throws UsageError "<where>:<line>: …" if it cannot be parsed
/// or holds something that no option takes (dates, nested lists, lists of tables).
std::vector<Setting> read_toml(std::string_view text, const std::string& where);

/// A TOML string literal of UTF-8 text.
std::string toml_quote(std::string_view text);

}  // namespace vergence
