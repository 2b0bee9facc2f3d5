// Shared by every tool's main: parses arguments, prints one-line errors and returns exit statuses.
#pragma once

#include <functional>
#include <string>
#include <vector>

// Of the command-line library CLI11.
namespace CLI {
class App;
}

namespace vergence {

/// Thrown instead of an error that another process prints: the tool only returns `status`. If that is an error, it
/// first leaves the other process a minute.
struct ToldElsewhere {
  int status = 1;
};

/// Runs `body` and returns its result, the tool's exit status. Prints "<tool>: <message>" on stderr and returns 2 for
/// UsageError and command-line errors, 1 for other exceptions and incomplete standard output. For a request for help,
/// prints it on stdout and returns 0. Opens /dev/null for closed standard descriptors first, and ignores signals of
/// failed writes.
int run_tool(const std::string& tool, const std::function<int()>& body);

/// The same, after parsing the arguments into `app`, which has the tool's name. For tools of one process: refuses to
/// run as one of several that mpirun or torchrun started.
int run_tool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body);

/// Prints each as a line "notice: ..." on stderr.
void print_notices(const std::vector<std::string>& notices);

}  // namespace vergence
