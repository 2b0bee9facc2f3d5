// Where the shipped recipes are, and which.
#pragma once

#include <string>
#include <vector>

namespace vergence {

/// The path of the shipped recipe called `name` ("cifar10_simclr", the file cifar10/simclr.toml), empty if there is
/// none. Looked for beside the program: <program>/../share/vergence/recipes (installed), <program>/../ssl/recipes (a
/// build folder), and last in the folder that was built from.
std::string find_recipe(const std::string& name);

/// The names of all that find_recipe finds, in order.
std::vector<std::string> recipe_names();

/// Those of them that `name` may stand for, at most three.
std::vector<std::string> recipes_like(const std::string& name);

/// What `pretrain --recipes` prints: a line for each, data set by data set.
std::string recipes_text();

}  // namespace vergence
