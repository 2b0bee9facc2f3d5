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

/// One file's settings, with names as written.
using Layer = std::vector<Setting>;

/// The settings of a file and, before them, of the files it extends: later layers win. A file says `extends = "BASE"`
/// or an ordered list of bases, each a path relative to the file or the name of a shipped recipe. Throws UsageError if
/// a base is missing or a file extends itself.
std::vector<Layer> read_layers(const std::string& path);

}  // namespace vergence
