// The command line of `pretrain` as settings, exactly as given.
#pragma once

#include <string>
#include <vector>

#include "ssl/options/toml.h"

namespace vergence {

struct CommandLine {
  std::string config;             // of --config; empty: none
  std::vector<Setting> settings;  // with the options' true names, except `temperature`; as often as given
};

/// Throws HelpRequest for --help, --recipes and --version, UsageError for an unknown option.
CommandLine read_command_line(int argc, const char* const* argv);

/// Throws UsageError if one of the given names is an option of other encoders only. Recipes and saved files may have
/// such options.
void refuse_other_encoders(const std::vector<std::string>& given, const std::string& encoder);

}  // namespace vergence
