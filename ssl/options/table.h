// The table behind the options of `pretrain`: one line per option drives the command line, configuration files, the
// writer, comparison and help. To add an option, add a field in ssl/options/options.h and a line in
// ssl/options/table.cpp.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "engine/text/enum_words.h"
#include "ssl/options/options.h"
#include "ssl/options/toml.h"

namespace vergence {

/// The numbers that an option takes.
struct Range {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;

  bool contains(double value) const;
  std::string text() const;  // "above 0", "0 or more", "from 0 to 1"
};

/// Accesses an option's value in Options.
using Field =
    std::variant<std::function<std::string&(Options&)>, std::function<std::int64_t&(Options&)>,
                 std::function<double&(Options&)>, std::function<float&(Options&)>, std::function<bool&(Options&)>,
                 std::function<std::vector<double>&(Options&)>, WordField<Options>>;

struct OptionEntry {
  enum Flags : unsigned {
    none = 0,
    may_change = 1,         // a resumed run may have another value
    command_line_only = 2,  // neither saved nor compared
    input = 4,              // the path of an input: saved as an absolute path
    or_list = 8,            // or the name of a shipped list of classes instead of a path
    if_set = 16             // saved only if it differs from the default
  };
  std::string group, name;    // name as on the command line, without dashes
  std::vector<Field> fields;  // two for an option of both views
  std::string help;
  std::vector<std::string> choices;  // the words or names it takes; empty: any text
  std::string path;                  // "FILE" or "DIR" for a path, as in help; empty: not a path
  Range range;                       // of a number or of each number in a list
  unsigned flags = none;
  /// For view1.x and view2.x: the option view.x of both views. Files have these two only if the views differ.
  std::string both;

  bool is_input() const { return flags & input; }
  bool is_bool() const { return std::holds_alternative<std::function<bool&(Options&)>>(fields[0]); }
  bool is_number() const {
    return std::holds_alternative<std::function<std::int64_t&(Options&)>>(fields[0]) ||
           std::holds_alternative<std::function<double&(Options&)>>(fields[0]) ||
           std::holds_alternative<std::function<float&(Options&)>>(fields[0]);
  }
  bool is_list() const { return std::holds_alternative<std::function<std::vector<double>&(Options&)>>(fields[0]); }
};

/// An option, and values of it as on the command line: these, or all others.
struct OptionValues {
  std::string option;
  std::vector<std::string> values;
  bool others = false;
};

/// Options that have no effect while each of the conditions holds. "lars." stands for all names that begin so.
struct EffectRule {
  std::vector<OptionValues> conditions;
  std::vector<std::string> names;
};

/// All options, in the order of the help and of the saved file.
const std::vector<OptionEntry>& option_table();

/// What the declarations say about options that do nothing beside others (ssl/options/effects.h).
const std::vector<EffectRule>& effect_rules();

/// The option of that name, or null.
const OptionEntry* find_option(const std::string& name);

/// The value of option `name`, as on the command line. Throws Error for an unknown name.
std::string option_text(const Options& options, const std::string& name);

/// Whether the saved file has this option. Of an option of both views it has one line if the views agree, else two; of
/// an option of an objective, data set or encoder that the run does not use, none if it has its default.
bool is_written(const OptionEntry& entry, const Options& options);

/// Sets option `name` as on the command line. Throws Error for an unknown name, UsageError for a wrong value.
void set_option(Options& options, const std::string& name, const std::string& value);

/// An option's value as on the command line, and as a TOML value (of its first field).
std::string value_text(const OptionEntry& entry, const Options& options);
std::string value_toml(const OptionEntry& entry, const Options& options);

/// An input's path made absolute from the working directory, without resolving links; other text is unchanged.
std::string absolute_input(const OptionEntry& entry, const std::string& path);

/// Whether both paths lead to the same input.
bool same_input(const OptionEntry& entry, const std::string& first, const std::string& second);

/// "a number above 0", "on or off", "simclr, barlow_twins or byol".
std::string expected_text(const OptionEntry& entry);

/// Copies the option's value from `from` to `to`.
void copy_option(const OptionEntry& entry, const Options& from, Options& to);

/// Sets all fields of the option; throws UsageError beginning with `setting.where` for a wrong type or value.
void assign_option(const OptionEntry& entry, const Setting& setting, Options& options);

}  // namespace vergence
