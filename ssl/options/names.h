// Names as users type them: spelled with underscores for dashes, nearly right, or half.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// Whether two names differ at most in dashes and underscores.
bool same_spelling(std::string_view a, std::string_view b);

/// Edits (insert, delete, replace) that make one word of the other.
std::size_t edits_between(std::string_view a, std::string_view b);

/// Those of `known` that `name` may stand for, at most three: those whose last part it is (temperature of
/// simclr.temperature), else those that begin with it, else those of which a last part does, else the nearest, if it is
/// near.
std::vector<std::string> names_like(const std::string& name, const std::vector<std::string>& known);

/// ", did you mean --a or --b?", with `dashes` before each name; nothing where there are no names.
std::string did_you_mean(const std::vector<std::string>& names, const char* dashes);

/// The name in an argument "--name" or "--name=value"; empty for any other argument.
std::string option_name(std::string_view argument);

/// `argument`, in which `name` stands for what option_name finds.
std::string with_option_name(std::string_view argument, const std::string& name);

}  // namespace vergence
