// The command line of `pretrain` as settings: what was given, before anything is made of it.
#pragma once

#include <string>
#include <vector>

#include "ssl/options/toml.h"

namespace vergence {

struct CommandLine {
  std::string config;             // of --config; empty if there is none
  std::vector<Setting> settings;  // under the options' true names, but for `temperature`; as often as they were given
};

/// Throws HelpRequest for --help, --recipes and --version, UsageError for what is no option.
CommandLine read_command_line(int argc, const char* const* argv);

/// Throws UsageError for a name, among those given, of an option that other encoders than this one bring: it says
/// nothing of this one. Recipes and saved files may have them.
void refuse_other_encoders(const std::vector<std::string>& given, const std::string& encoder);

}  // namespace vergence
