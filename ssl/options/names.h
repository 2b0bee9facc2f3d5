// Names as users type them: with underscores for dashes, misspelled, or incomplete.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// Whether two names are equal apart from dashes and underscores.
bool same_spelling(std::string_view a, std::string_view b);

/// Edits (insert, delete, replace) that turn one word into the other.
std::size_t edits_between(std::string_view a, std::string_view b);

/// Returns at most three of `known` that `name` may mean: those whose last part is `name` (simclr.temperature for
/// temperature), else those that begin with it, else those whose last part begins with it, else the nearest if close.
std::vector<std::string> names_like(const std::string& name, const std::vector<std::string>& known);

/// ", did you mean --a or --b?", with `dashes` before each name; empty if there are no names.
std::string did_you_mean(const std::vector<std::string>& names, const char* dashes);

/// The name in an argument "--name" or "--name=value"; empty for any other argument.
std::string option_name(std::string_view argument);

/// Throws UsageError for an option that takes a value, `argument`, if nothing follows its name or its "=" but the
/// option `next`, which the library would take for the value.
void refuse_option_as_value(std::string_view argument, std::string_view next);

/// `argument` with `name` in place of the name that option_name finds.
std::string with_option_name(std::string_view argument, const std::string& name);

}  // namespace vergence
