// Files of options: where they are, and which files they extend.
#pragma once

#include <string>
#include <vector>

#include "ssl/options/toml.h"

namespace vergence {

/// A file of options.
struct ConfigFile {
  std::string path;    // empty: none
  std::string recipe;  // its name, if it is a shipped recipe
};

/// The file of `--config given`: a path, or the name of a shipped recipe. Throws UsageError if it is neither.
ConfigFile config_file(const std::string& given);

/// The shipped recipe of a data set and objective, if there is one, or of the data set whose recipes it uses.
ConfigFile recipe_for(const std::string& dataset, const std::string& objective);

/// One file's settings.
struct Layer {
  std::vector<Setting> settings;  // with names as written
  bool shipped = false;           // by a recipe, or a shared part of one, not by a file of the user's
};

/// Returns the settings of a file, after those of the files it extends with `extends = "BASE"` or a list of bases (each
/// a path relative to the file, or a recipe): later layers win. Throws UsageError for missing bases and cycles.
std::vector<Layer> read_layers(const std::string& path);

}  // namespace vergence
