// The names that users of PyTorch, solo-learn and lightly know for pretrain's options.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ssl/options/table.h"

namespace vergence {

/// Other names of options, each with its option; without `temperature`, whose option depends on the objective.
const std::vector<std::pair<std::string, std::string>>& option_aliases();

/// The alias of the chosen objective's own option NAME.temperature.
inline constexpr const char* objectives_temperature = "temperature";

/// The true name of option `name`, which may swap dashes and underscores or be an alias; `temperature` is
/// NAME.temperature of the objective NAME. For an unknown name throws UsageError, which begins with `where`, suggests
/// names with `dashes` before them, and ends with `more`.
std::string true_option_name(const std::string& name, const std::string& objective, const std::string& where,
                             const char* dashes, const char* more = "");

/// Whether `name` is an option or an alias.
bool is_option_name(const std::string& name);

}  // namespace vergence
