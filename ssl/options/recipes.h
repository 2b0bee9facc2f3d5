// Finds and lists the shipped recipes.
#pragma once

#include <string>
#include <vector>

namespace vergence {

/// The path of the shipped recipe `name` ("cifar10_simclr" is cifar10/simclr.toml), or empty. Searches
/// <program>/../share/vergence/recipes (installed), <program>/../ssl/recipes (a build folder), then the source folder.
std::string find_recipe(const std::string& name);

/// Whether the file lies in a folder of recipes: a recipe, or a part that several share.
bool is_recipe_file(const std::string& file);

/// The names of all recipes that find_recipe finds, in order.
std::vector<std::string> recipe_names();

/// At most three recipes that `name` may mean.
std::vector<std::string> recipes_like(const std::string& name);

/// What a recipe gave when it was run to its end, from its first line, "# Result: ...": either "never run to the end",
/// or figure and seeds, machine, hours, commit. Throws UsageError for another first line.
std::string recipe_result(const std::string& file);

/// The text of `pretrain --recipes`: a line for each recipe, grouped by data set.
std::string recipes_text();

}  // namespace vergence
