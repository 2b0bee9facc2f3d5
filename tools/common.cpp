// Exceptions to exit statuses.
#include "tools/common.h"

#include <cstdio>
#include <exception>
#include <new>

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

}  // namespace

int run_tool(const std::string& tool, const std::function<int()>& body) {
  try {
    return body();
  } catch (const HelpRequest& help) {
    return show_help(help.text);
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
