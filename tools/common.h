// Shared by every tool's main: parses arguments, prints one-line errors and returns exit statuses.
#pragma once

#include <functional>
#include <string>

// The command line of the CLI11 library.
namespace CLI {
class App;
}

namespace vergence {

/// Runs `body` and returns its result, the tool's exit status. UsageError and command-line errors print "<tool>:
/// <message>" on stderr and return 2; any other exception returns 1, as does standard output that could not be written
/// completely. A request for help prints its text on stdout and returns 0. First opens /dev/null for closed standard
/// descriptors, and ignores the signals that end a process when a write fails.
int run_tool(const std::string& tool, const std::function<int()>& body);

/// The same, after parsing the arguments into `app`, which has the tool's name.
int run_tool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body);

}  // namespace vergence
