// Where the shipped recipes are.
#pragma once

#include <string>

namespace vergence {

/// The path of the shipped recipe called `name` ("cifar10_simclr"), empty if there is none. Looked for beside the
/// program: <program>/../share/vergence/recipes (installed), <program>/../ssl/recipes (a build folder), and last in the
/// folder that was built from.
std::string find_recipe(const std::string& name);

}  // namespace vergence
