// Files of options: where they are, and what they extend.
#pragma once

#include <string>
#include <vector>

#include "ssl/options/toml.h"

namespace vergence {

/// A file of options.
struct ConfigFile {
  std::string path;    // empty: none
  std::string recipe;  // the name, if it is a shipped recipe
};

/// The file that `--config given` means: a path, or the name of a shipped recipe. Throws UsageError if it is neither.
ConfigFile config_file(const std::string& given);

/// The shipped recipe of a data set and objective, if there is one, or of the data set whose recipes apply in its
/// place.
ConfigFile recipe_for(const std::string& dataset, const std::string& objective);

/// One file's settings, with the names as written.
using Layer = std::vector<Setting>;

/// The settings of a file, after those of the files that it extends: bases first, so that later layers win. A file
/// says `extends = "BASE"`, or a list of bases in the order in which they apply. A base is a path relative to the file,
/// or the name of a shipped recipe. Throws UsageError for a base that does not exist and for files that extend
/// themselves.
std::vector<Layer> read_layers(const std::string& path);

}  // namespace vergence
