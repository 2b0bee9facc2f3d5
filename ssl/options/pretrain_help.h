// The text of `pretrain --help` and `--help TOPIC`.
#pragma once

#include <string>

#include "ssl/options/help.h"
#include "ssl/options/table.h"

namespace vergence {

/// Without a topic: the options that users need first, and those of `objective` if it is given. Topics: all, an
/// objective, a group or table of options, an option. Throws UsageError naming the topics for any other.
std::string pretrain_help(const std::string& topic, const std::string& objective);

/// A table option as help shows it, with its value from `defaults`.
HelpOption help_option(const OptionEntry& entry, const Options& defaults);

}  // namespace vergence
