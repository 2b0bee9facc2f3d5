// Looks beside the program first, so that a moved or installed build finds its own recipes.
#include "ssl/recipe_files.h"

#include <filesystem>
#include <system_error>
#include <vector>

namespace vergence {

std::string find_recipe(const std::string& name) {
  namespace fs = std::filesystem;
  std::vector<fs::path> folders;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path above = program.parent_path().parent_path();
    folders = {above / "share/vergence/recipes", above / "ssl/recipes"};
  }
#ifdef VERGENCE_RECIPES
  folders.emplace_back(VERGENCE_RECIPES);
#endif
  for (const fs::path& folder : folders) {
    const fs::path file = folder / (name + ".toml");
    if (fs::is_regular_file(file, error)) return file.string();
  }
  return {};
}

}  // namespace vergence
