// Searches beside the program first, so that a moved or installed build finds its own recipes.
#include "ssl/options/recipes.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <system_error>

#include "datasets/dataset.h"
#include "engine/io/files.h"
#include "engine/text/words.h"
#include "models/encoder.h"
#include "ssl/options/names.h"
#include "ssl/options/options.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> recipe_folders() {
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
  return folders;
}

/// Calls visit(name, file) for every recipe in search order: <data set>/<objective>.toml is <data set>_<objective>.
template <class Visit>
void for_each_recipe(Visit&& visit) {
  std::error_code error;
  for (const fs::path& folder : recipe_folders())
    for (fs::directory_iterator data_set(folder, error), end; !error && data_set != end; data_set.increment(error)) {
      if (data_set->path().filename().string().starts_with("_")) continue;  // shared parts of recipes
      std::error_code unreadable;
      for (fs::directory_iterator file(data_set->path(), unreadable); !unreadable && file != end;
           file.increment(unreadable))
        if (file->path().extension() == ".toml")
          visit(data_set->path().filename().string() + "_" + file->path().stem().string(), file->path());
    }
}

/// The words of a name in alphabetical order.
std::vector<std::string> sorted_words(const std::string& name) {
  std::vector<std::string> words;
  std::string text = name;
  std::replace(text.begin(), text.end(), '-', '_');
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, '_');) words.push_back(word);
  std::sort(words.begin(), words.end());
  return words;
}

/// " of width 64", for encoders with this option.
std::string width_of(const Options& options) {
  for (const EncoderOption& option : family_of(options.encoder).options)
    if (option.name == "width") return " of width " + value_text(*find_option("width"), options);
  return "";
}

/// "1000 epochs of batch 256, resnet18 of width 64".
std::string figures(const Options& options) {
  return join(counted(options.epochs, "epoch"), " of batch ", options.batch, ", ", options.encoder, width_of(options),
              ", ", option_text(options, "optimizer"));
}

}  // namespace

std::string find_recipe(const std::string& name) {
  std::string found;
  for_each_recipe([&](const std::string& one, const fs::path& file) {
    if (found.empty() && one == name) found = file.string();
  });
  return found;
}

bool is_recipe_file(const std::string& file) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(file, error);
  const auto holds = [&](const fs::path& folder) {
    const fs::path inside = whole.lexically_relative(fs::weakly_canonical(folder, error));
    return !inside.empty() && *inside.begin() != "..";
  };
  const std::vector<fs::path> folders = recipe_folders();
  return std::any_of(folders.begin(), folders.end(), holds);
}

std::vector<std::string> recipe_names() {
  std::set<std::string> names;
  for_each_recipe([&](const std::string& name, const fs::path&) { names.insert(name); });
  return {names.begin(), names.end()};
}

std::vector<std::string> recipes_like(const std::string& name) {
  if (!find_recipe(name + "_simclr").empty()) return {name + "_simclr"};  // the name of a data set
  const std::vector<std::string> all = recipe_names();
  for (const std::string& one : all)
    if (sorted_words(one) == sorted_words(name)) return {one};
  return names_like(name, all);
}

std::string recipe_result(const std::string& file) {
  static const std::regex form(
      "# Result: (never run to the end|.*[0-9].* %.*, [0-9]+ seeds?; .+; [0-9.]+ h; commit [0-9a-f]{7,40})");
  std::istringstream lines(read_text(file));
  std::string first;
  std::getline(lines, first);
  std::smatch found;
  require_usage(
      std::regex_match(first, found, form), file,
      ":1: expected '# Result: never run to the end' or '# Result: FIGURE %, N seeds; MACHINE; N h; commit ID'");
  return found[1];
}

std::string recipes_text() {
  struct Recipe {
    std::string name, figures, result;
  };
  std::map<std::string, std::vector<Recipe>> by_data_set;
  std::size_t widest = 0, widest_figures = 0;
  for (const std::string& name : recipe_names()) {
    const std::string file = find_recipe(name);
    const Options options = options_from_file(file);
    Recipe recipe{name, figures(options), recipe_result(file)};
    widest = std::max(widest, name.size());
    widest_figures = std::max(widest_figures, recipe.figures.size());
    by_data_set[options.dataset].push_back(std::move(recipe));
  }
  std::string text =
      "The shipped recipes: pretrain --config NAME --data DIR. One that is called <data set>_<objective>\n"
      "applies by itself to that data set and objective. Below a recipe stands what whole runs of it gave:\n"
      "figure and seeds; machine; hours; commit. -: it was never run to the end. The first lines of each\n"
      "file, and docs/recipes.md, say where its values come from.\n";
  for (const std::string& data_set : dataset_names()) {
    if (!by_data_set.contains(data_set)) continue;
    text += "\n" + data_set + "\n";
    for (const auto& [name, figures, result] : by_data_set[data_set]) {
      text += "  " + name + std::string(widest + 2 - name.size(), ' ') + figures;
      const bool ran = result != "never run to the end";
      text += ran ? "\n    gave " + result + "\n" : std::string(widest_figures + 2 - figures.size(), ' ') + "-\n";
    }
  }
  const std::string first = find_recipe("confounded_shapes_simclr");
  if (!first.empty()) text += "\nThe files are in " + fs::path(first).parent_path().parent_path().string() + ".\n";
  return text;
}

}  // namespace vergence
