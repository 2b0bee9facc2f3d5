// What every tool's main shares: arguments in, one-line errors and exit statuses out.
#pragma once

#include <functional>
#include <string>

// The CLI11 library's command line.
namespace CLI {
class App;
}

namespace vergence {

/// Runs `body` and returns its result, the tool's exit status. UsageError and the command line's own errors become
/// "<tool>: <message>" on stderr and 2, any other exception 1, likewise a standard output that was not all written; a
/// request for help its text on stdout and 0. Before it, closed standard descriptors get /dev/null, and the signals
/// that end a process when a write fails are ignored.
int run_tool(const std::string& tool, const std::function<int()>& body);

/// The same, after parsing the arguments into `app` (whose name is the tool's).
int run_tool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body);

}  // namespace vergence
