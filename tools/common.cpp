// Maps exceptions to exit statuses.
#include "tools/common.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <fcntl.h>
#include <new>
#include <optional>
#include <poll.h>
#include <sstream>
#include <unistd.h>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/communicators/launch.h"
#include "kernels/error.h"
#include "ssl/options/help.h"
#include "ssl/options/names.h"
#include "ssl/steps/world.h"

namespace vergence {
namespace {

constexpr int failed = 1, bad_usage = 2;

/// Prints one line on stderr, whatever the message contains.
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

/// Opens /dev/null for closed standard descriptors. Otherwise the first file opened would get such a number, and
/// printed text would go into that file.
void open_standard_descriptors() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    const int opened = open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    require(opened == descriptor, "descriptor ", descriptor, " is closed, and /dev/null cannot stand in for it");
  }
}

/// Makes failed writes report an error instead of silently ending the process.
void ignore_write_signals() {
  std::signal(SIGPIPE, SIG_IGN);  // the reader of a pipe is gone
  std::signal(SIGXFSZ, SIG_IGN);  // a file exceeds the user's size limit
}

const char* const version_text = "version and commit of this program";

/// Turns the library's "INT:INT in [0 - 5]" and "TEXT:{a,b}" into our "NUMBER" and "a|b".
std::string help_type(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::size_t open = type.find('{'), close = type.rfind('}');
  if (open != std::string::npos && close != std::string::npos && open < close) {
    std::string choices = type.substr(open + 1, close - open - 1);
    std::replace(choices.begin(), choices.end(), ',', '|');
    return choices;
  }
  const std::string kind = type.substr(0, type.find(':'));
  for (const char* number : {"INT", "UINT", "FLOAT"})
    if (kind == number) return option.get_delimiter() == '\0' ? "NUMBER" : "NUMBER,...";
  return kind;
}

HelpOption help_option(const CLI::Option& option) {
  const bool positional = option.get_positional();
  HelpOption shown{option.get_name(positional), positional ? "" : help_type(option), option.get_default_str(),
                   option.get_description()};
  if (shown.name == "--help") shown.text = "this text";
  if (shown.type.empty()) shown.value.clear();
  if (shown.value.starts_with('[')) shown.value = shown.value.substr(1, shown.value.size() - 2);  // of a list
  return shown;
}

/// Wraps the long lines of a description, which may have several lines.
std::string wrapped_lines(const std::string& description) {
  constexpr std::size_t indent = 8;
  std::istringstream in(description);
  std::string text;
  for (std::string line; std::getline(in, line);) text += line.empty() ? "\n" : wrapped(line, indent);
  return text;
}

/// The `--help` text of a command line or one of its subcommands. `name` includes the command before it.
std::string app_help(const CLI::App& app, const std::string& name) {
  HelpGroup positionals{"Arguments", {}}, options{"Options", {}},
      commands{"Commands, each with a --help of its own", {}};
  std::string usage = "Usage: " + name + " [OPTIONS]";
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) usage += " " + option->get_name(true);
    (option->get_positional() ? positionals : options).options.push_back(help_option(*option));
  }
  for (const CLI::App* command : app.get_subcommands({}))
    commands.options.push_back({command->get_name(), "", "", command->get_description()});
  if (!commands.options.empty()) usage += " COMMAND";
  options.options.insert(options.options.begin() + 1, {"--version", "", "", version_text});
  std::vector<HelpGroup> groups;
  for (const HelpGroup* group : {&positionals, &commands, &options})
    if (!group->options.empty()) groups.push_back(*group);
  const std::string footer = app.get_footer();
  return wrapped_lines(app.get_description()) + usage + "\n\n" + help_groups(groups) +
         (footer.empty() ? "" : "\n" + wrapped(footer, 0));
}

/// The names of an app's options, without dashes.
std::vector<std::string> names_of(const CLI::App& app) {
  std::vector<std::string> names{"version"};
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back(name);
  return names;
}

bool takes_value(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = app.get_option_no_throw("--" + name);
  return option && option->get_items_expected_min() > 0;
}

/// Makes integers decimal: the library takes 010 for 8.
void read_integers_as_decimal(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands({})) read_integers_as_decimal(*command);
  for (CLI::Option* option : app.get_options()) {
    const std::string type = option->get_type_name();
    if (!type.starts_with("INT") && !type.starts_with("UINT")) continue;
    option->transform(CLI::Validator(
        [](std::string& text) {
          const std::optional<std::int64_t> number = number_of<std::int64_t>(text);
          if (number) text = std::to_string(*number);
          return number ? std::string() : "expected a whole number, got '" + printable(text) + "'";
        },
        ""));
  }
}

/// The subcommand that the arguments name, or null.
CLI::App* named_command(CLI::App& app, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments)
    for (CLI::App* command : app.get_subcommands({}))
      if (command->get_name() == argument) return command;
  return nullptr;
}

void refuse_unknown_command(const CLI::App& app, const std::vector<std::string>& arguments) {
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (commands.empty() || arguments.empty() || arguments[0].starts_with("-")) return;
  throw UsageError(join(arguments[0], ": unknown command, expected ", alternatives(commands), " (see --help)"));
}

/// Returns the arguments with option names as `app`, or the subcommand among them, declares them; users may write
/// underscores for dashes. Throws UsageError for a name that neither has, unless the command accepts further arguments.
std::vector<std::string> with_declared_names(CLI::App& app, std::vector<std::string> arguments) {
  const CLI::App* command = named_command(app, arguments);
  if (!command) refuse_unknown_command(app, arguments);
  const std::vector<std::string> known = names_of(command ? *command : app);
  const bool more = command && command->get_allow_extras();
  const auto declared = [&](const std::string& typed) {
    return std::find_if(known.begin(), known.end(), [&](const auto& one) { return same_spelling(one, typed); });
  };
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string& argument = arguments[i];
    if (argument == "--") break;
    const std::string typed = option_name(argument);
    if (typed.empty()) continue;
    if (const auto name = declared(typed); name != known.end()) {
      const bool option_follows = i + 1 < arguments.size() && declared(option_name(arguments[i + 1])) != known.end();
      if (option_follows && takes_value(command ? *command : app, *name))
        refuse_option_as_value(argument, arguments[i + 1]);
      argument = with_option_name(argument, *name);
    } else {
      require_usage(more, "--", typed, ": unknown option", did_you_mean(names_like(typed, known), "--"),
                    " (see --help)");
    }
  }
  return arguments;
}

void parse(CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (std::find(arguments.begin(), arguments.end(), "--version") != arguments.end())
    throw HelpRequest{version_line(app.get_name())};
  try {
    // The library takes them in reverse order.
    arguments = with_declared_names(app, std::move(arguments));
    read_integers_as_decimal(app);
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> commands = app.get_subcommands();
    throw HelpRequest{commands.empty() ? app_help(app, app.get_name())
                                       : app_help(*commands[0], app.get_name() + " " + commands[0]->get_name())};
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = app.remaining(true);
    const CLI::Option* run = app.get_option_no_throw("--run");
    const bool lacks_run = run && run->count() == 0;
    throw UsageError(join(extras.empty() ? "" : extras[0], ": unexpected",
                          lacks_run && !extras.empty() ? ", expected --run " + extras[0] : "", " (see --help)"));
  } catch (const CLI::ParseError& error) {
    throw UsageError(join(error.what(), " (see --help)"));
  }
}

/// Waits a minute before this process ends with an error that another process reports: launchers end all processes
/// once one has failed, and the other may have to save first. SIGTERM or SIGINT from the launcher ends the wait.
void let_the_other_tell() {
  constexpr int milliseconds = 60'000;
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  poll(nullptr, 0, milliseconds);
}

/// Several processes would each do the whole work, and write the same files.
void refuse_ranks() {
  const Launch launch = launch_of_environment();
  if (launch.ranks == 1 || launch.by == Launch::By::slurm)
    return;  // a script of SLURM's sbatch starts single processes
  // Variables of torchrun may be left over, without a rank 0 that tells it.
  if (launch.rank > 0 && launch.by == Launch::By::mpi) throw ToldElsewhere{bad_usage};
  throw UsageError(join("runs as one process, but ", launch.by == Launch::By::mpi ? "mpirun" : "torchrun", " started ",
                        launch.ranks, "; only pretrain shares its work among ranks"));
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
  } catch (const ToldElsewhere& told) {
    if (told.status != 0) let_the_other_tell();
    return told.status;
  } catch (const UsageError& error) {
    return complain(tool, error.what(), bad_usage);
  } catch (const std::bad_alloc&) {
    return complain(tool, out_of_memory, failed);
  } catch (const std::exception& error) {
    return complain(tool, error.what(), failed);
  }
}

int run_tool(CLI::App& app, int argc, const char* const* argv, const std::function<int()>& body) {
  return run_tool(app.get_name(), [&] {
    refuse_ranks();
    parse(app, argc, argv);
    return body();
  });
}

void print_notices(const std::vector<std::string>& notices) {
  for (const std::string& notice : notices) std::fprintf(stderr, "notice: %s\n", printable(notice).c_str());
}

}  // namespace vergence
