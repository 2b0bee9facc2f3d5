// Options that do nothing beside others.
#pragma once

#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// "--dataset cifar10" if the option `name` belongs to another data set, and the same for the options of objectives and
/// encoders. Empty if the run uses the option's owner, or it has none.
std::string unused_owner(const std::string& name, const Options& options);

/// What keeps the option `name` from having an effect: "--optimizer adam" for momentum. Empty if it may have one.
std::string without_effect_by(const std::string& name, const Options& options);

}  // namespace vergence
