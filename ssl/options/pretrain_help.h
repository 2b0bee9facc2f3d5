// What `pretrain --help` and `--help TOPIC` print.
#pragma once

#include <string>

#include "ssl/options/help.h"
#include "ssl/options/table.h"

namespace vergence {

/// No topic: the options that a user meets first, and those of `objective` where the user has named one. Topics: all,
/// an objective, a group or table of options, an option. Throws UsageError naming the topics for any other.
std::string pretrain_help(const std::string& topic, const std::string& objective);

/// An option of the table as help shows it, with its value in `defaults`.
HelpOption shown_option(const OptionEntry& entry, const Options& defaults);

}  // namespace vergence
