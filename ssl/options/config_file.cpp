// Finds files of options and reads them with their bases.
#include "ssl/options/config_file.h"

#include <algorithm>
#include <filesystem>

#include "datasets/registry.h"
#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"
#include "ssl/options/names.h"
#include "ssl/options/recipes.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// The file of a base named in the file `from`.
std::string base_file(const Setting& setting, const std::string& base, const std::string& from) {
  const fs::path beside = fs::path(from).parent_path() / base;
  if (file_exists(beside)) return beside.lexically_normal().string();
  const std::string recipe = base.find('/') == std::string::npos ? find_recipe(base) : "";
  require_usage(!recipe.empty(), setting.where, ": there is no file ", shortened(beside.string()),
                " and no shipped recipe '", shortened(base), "'", did_you_mean(recipes_like(base), ""));
  return recipe;
}

/// Appends the layers of `path`, the last of `chain`, in which each file extends the next.
void append_layers(const std::string& path, std::vector<std::string>& chain, std::vector<Layer>& layers) {
  std::vector<Setting> own = read_toml(read_text(path), path);
  const auto extends = std::find_if(own.begin(), own.end(), [](const Setting& s) { return s.name == extends_key; });
  if (extends != own.end()) {
    const Setting setting = *extends;
    own.erase(extends);
    for (const std::string& base : setting.names) {
      const std::string file = base_file(setting, base, path);
      const bool circle = std::any_of(chain.begin(), chain.end(), [&](const std::string& one) {
        std::error_code error;
        return fs::equivalent(one, file, error);
      });
      require_usage(!circle, setting.where, ": ", shortened(file), " extends this file in turn");
      chain.push_back(file);
      append_layers(file, chain, layers);
      chain.pop_back();
    }
  }
  layers.push_back({std::move(own), is_recipe_file(path)});
}

}  // namespace

ConfigFile config_file(const std::string& given) {
  if (file_exists(given)) return {given, ""};
  const bool plain_name = given.find('/') == std::string::npos;
  const std::string recipe = plain_name ? find_recipe(given) : "";
  const std::string name = fs::path(given).stem().string();  // of a file that may be meant to be a recipe
  const std::vector<std::string> like = find_recipe(name).empty() ? recipes_like(name) : std::vector{name};
  require_usage(!recipe.empty(), "--config: there is no file ", shortened(given),
                plain_name ? join(" and no shipped recipe of that name", did_you_mean(like, ""),
                                  " (pretrain --recipes lists them)")
                           : "");
  return {recipe, given};
}

ConfigFile recipe_for(const std::string& dataset, const std::string& objective) {
  std::string name = dataset + "_" + objective;
  const std::string& others = entry_of(dataset).recipes;
  if (!others.empty() && find_recipe(name).empty()) name = others + "_" + objective;
  return {find_recipe(name), name};
}

std::vector<Layer> read_layers(const std::string& path) {
  std::vector<Layer> layers;
  std::vector<std::string> chain{path};
  append_layers(path, chain, layers);
  return layers;
}

}  // namespace vergence
