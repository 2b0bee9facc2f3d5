// Options that do nothing beside others.
#pragma once

#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// What keeps the option `name` from having an effect: "--optimizer adam" for momentum. Empty if it may have one.
std::string without_effect_by(const std::string& name, const Options& options);

}  // namespace vergence
