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

}  // namespace vergence
