// Exceptions to exit statuses.
#include "tools/common.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <new>
#include <unistd.h>

#include "engine/shown.h"
#include "kernels/error.h"
#include "ssl/help.h"

namespace vergence {
namespace {

constexpr int failed = 1, bad_usage = 2;

/// One line on stderr, whatever the message holds.
int complain(const std::string& tool, const std::string& message, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", tool.c_str(), printable(message).c_str());
  return status;
}

int show_help(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  if (!text.empty() && text.back() != '\n') std::fputc('\n', stdout);
  return 0;
}

/// A descriptor that is closed would become that of the first file opened, and what is printed would go into that file.
void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    require(opened == descriptor, "descriptor ", descriptor, " is closed, and /dev/null cannot stand in for it");
  }
}

/// Writes that fail then say so, instead of ending the process without a word.
void ignore_write_signals() {
  std::signal(SIGPIPE, SIG_IGN);  // the reader of a pipe has gone
  std::signal(SIGXFSZ, SIG_IGN);  // a file larger than the user's limit
}

int run_or_help(const std::function<int()>& body) {
  try {
    return body();
  } catch (const HelpRequest& help) {
    return show_help(help.text);
  }
}

}  // namespace

int run_tool(const std::string& tool, const std::function<int()>& body) {
  try {
    open_standard_descriptors();
    ignore_write_signals();
    const int status = run_or_help(body);
    std::fflush(stdout);
    require(status != 0 || std::ferror(stdout) == 0, "standard output: not all of it could be written");
    return status;
  } catch (const UsageError& error) {
    return complain(tool, error.what(), bad_usage);
  } catch (const std::bad_alloc&) {
    return complain(tool, "out of memory: try a smaller --batch or --width", failed);
  } catch (const std::exception& error) {
    return complain(tool, error.what(), failed);
  }
}

int run_tool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body) {
  return run_tool(app.get_name(), [&] {
    try {
      app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
      throw HelpRequest{app.help()};
    } catch (const CLI::CallForVersion& version) {
      throw HelpRequest{version.what()};
    } catch (const CLI::ParseError& error) {
      throw UsageError(join(error.what(), " (see --help)"));
    }
    return body();
  });
}

}  // namespace vergence
