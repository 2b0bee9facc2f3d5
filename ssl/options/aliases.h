// What users of PyTorch, solo-learn and lightly call pretrain's options.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssl/options/table.h"

namespace vergence {

/// Other names of options, each with the option it stands for. `temperature`, whose option depends on the objective, is
/// not among them.
const std::vector<std::pair<std::string, std::string>>& option_aliases();

/// The alias that stands for the chosen objective's option of that last part.
inline constexpr const char* objectives_temperature = "temperature";

/// The true name of the option that is called `name` here: by that name, with underscores for dashes or the reverse, or
/// by an alias. `temperature` is NAME.temperature of the objective NAME. Throws UsageError, which begins with `where`,
/// for a name there is not: it says which were perhaps meant, with `dashes` before them, and ends with `more`.
std::string true_option_name(const std::string& name, const std::string& objective, const std::string& where,
                             const char* dashes, const char* more = "");

/// Whether there is an option, or an alias, of that name.
bool is_option_name(const std::string& name);

}  // namespace vergence
