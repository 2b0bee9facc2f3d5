#include "ssl/options/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include "ssl/options/aliases.h"
#include "ssl/options/help.h"
#include "ssl/options/names.h"
#include "ssl/options/pretrain_help.h"
#include "ssl/options/recipes.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

using Arguments = std::vector<std::string>;

constexpr const char* see_help = " (see --help)";

/// The value after option `name` or its "="; none if the option is absent.
std::optional<std::string> value_behind(const Arguments& arguments, const std::string& name) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (!same_spelling(option_name(argument), name)) continue;
    if (const std::size_t equals = argument.find('='); equals != std::string::npos) return argument.substr(equals + 1);
    const bool last = i + 1 == arguments.size();
    return last || arguments[i + 1].starts_with("-") ? "" : arguments[i + 1];
  }
  return {};
}

/// Answers --help, --version and --recipes, whatever else was given.
void answer_questions(const Arguments& arguments, const std::string& objective) {
  Arguments spelled = arguments;
  std::replace(spelled.begin(), spelled.end(), std::string("-h"), std::string("--help"));
  if (const auto topic = value_behind(spelled, "help")) throw HelpRequest{pretrain_help(*topic, objective)};
  if (value_behind(spelled, "version")) throw HelpRequest{version_line("pretrain")};
  if (value_behind(spelled, "recipes")) throw HelpRequest{recipes_text()};
}

/// The command line parsed by CLI11, one text per option.
class Parser {
 public:
  Parser() {
    app_.set_help_flag();
    app_.allow_extras();
    app_.add_option("--config", config_);
    for (const OptionEntry& entry : option_table()) add(entry.name, entry.is_bool());
    add(objectives_temperature, false);
  }

  CommandLine parse(const Arguments& arguments) {
    Arguments reversed = with_true_names(arguments);
    std::reverse(reversed.begin(), reversed.end());  // CLI11's order
    try {
      app_.parse(reversed);
    } catch (const CLI::ParseError& error) {
      throw UsageError(error.what());
    }
    for (const std::string& extra : app_.remaining()) refuse(extra);
    return {config_, settings()};
  }

 private:
  struct Known {
    std::string name;
    bool is_switch;
    CLI::Option* option;
  };

  void add(const std::string& name, bool is_switch) {
    CLI::Option* option = app_.add_option_function<std::string>("--" + name, [](const std::string&) {});
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    if (is_switch) option->expected(0, 1);  // without a value it means on
    known_.push_back({name, is_switch, option});
  }

  /// Keeps how each option was typed, for messages.
  Arguments with_true_names(const Arguments& arguments) {
    const std::string objective = value_behind(arguments, "objective").value_or(Options().objective);
    Arguments result = arguments;
    for (std::size_t i = 0; i < result.size(); ++i) {
      std::string& argument = result[i];
      if (argument == "--") break;
      const std::string typed = option_name(argument);
      const std::string next = i + 1 < result.size() ? option_name(result[i + 1]) : "";
      const bool option_follows = next == "config" || is_option_name(next);
      if (typed == "config" && option_follows) refuse_option_as_value(argument, result[i + 1]);
      if (typed.empty() || typed == "config") continue;
      const bool temperature = same_spelling(typed, objectives_temperature);
      const std::string name =
          temperature ? objectives_temperature : true_option_name(typed, objective, "--" + typed, "--", see_help);
      const OptionEntry* entry = find_option(name);
      if (option_follows && !(entry && entry->is_bool())) refuse_option_as_value(argument, result[i + 1]);
      typed_[name].push_back(typed);
      argument = with_option_name(argument, name);
    }
    return result;
  }

  [[noreturn]] static void refuse(const std::string& extra) {
    if (extra.starts_with("-")) {
      const std::string name = extra.substr(std::min(extra.find_first_not_of('-'), extra.size()));
      if (is_option_name(name)) throw UsageError(join(extra, ": unknown option, did you mean --", name, "?", see_help));
      true_option_name(name, Options().objective, extra, "--", see_help);
    }
    std::string meant;
    for (const char* option : {"dataset", "objective"}) {
      const std::vector<std::string>& choices = find_option(option)->choices;
      if (std::find(choices.begin(), choices.end(), extra) != choices.end())
        meant = join(", did you mean --", option, " ", extra, "?");
    }
    throw UsageError(join(extra, ": unknown argument", meant, see_help));
  }

  std::vector<Setting> settings() const {
    std::vector<Setting> given;
    for (const Known& known : known_) {
      std::vector<std::string> values = known.option->results();
      if (known.option->count() > 0 && values.empty()) values.emplace_back();
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::vector<std::string>& typed = typed_.at(known.name);
        const std::string value = known.is_switch && values[i].empty() ? "on" : values[i];
        given.push_back({known.name, value, Setting::Type::untyped, "--" + typed[std::min(i, typed.size() - 1)]});
      }
    }
    return given;
  }

  CLI::App app_;
  std::string config_;
  std::deque<Known> known_;
  std::map<std::string, std::vector<std::string>> typed_;
};

}  // namespace

CommandLine read_command_line(int argc, const char* const* argv) {
  const Arguments arguments(argv + 1, argv + argc);
  answer_questions(arguments, value_behind(arguments, "objective").value_or(""));
  return Parser().parse(arguments);
}

}  // namespace vergence
