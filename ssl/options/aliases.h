// The names that users of PyTorch, solo-learn and lightly know for pretrain's options.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssl/options/table.h"

namespace vergence {

/// Other names of options, each with its option. Without `temperature`, whose option depends on the objective.
const std::vector<std::pair<std::string, std::string>>& option_aliases();

/// The alias of the chosen objective's own option NAME.temperature.
inline constexpr const char* objectives_temperature = "temperature";

/// Returns the true name of option `name`, given with any dashes or as an alias; `temperature` is the objective's own.
/// Throws UsageError for an unknown name: `where`, then similar names with `dashes` before them, then `more`.
std::string true_option_name(const std::string& name, const std::string& objective, const std::string& where,
                             const char* dashes, const char* more = "");

/// Whether `name` is an option or an alias.
bool is_option_name(const std::string& name);

}  // namespace vergence
