#include "ssl/options/tool_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "ssl/options/pretrain_help.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

/// "a|b|c".
std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : "|") + word;
  return text;
}

void require_word(const std::string& name, const std::vector<std::string>& words, const std::string& given) {
  require_usage(std::find(words.begin(), words.end(), given) != words.end(), "--", name, ": expected ",
                alternatives(words), ", got '", shortened(given), "'");
}

}  // namespace

bool GivenOptions::has(const std::string& name) const {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void GivenOptions::set(const std::string& name, const std::string& value) {
  set_option(values, name, value);
  if (!has(name)) names.push_back(name);
}

void GivenOptions::apply_to(Options& other) const {
  for (const std::string& name : names) copy_option(*find_option(name), values, other);
}

void add_table_option(CLI::App& app, const ToolOption& option, GivenOptions& given) {
  OptionEntry entry = *find_option(option.name);
  if (!option.only.empty()) entry.choices = option.only;
  if (!option.help.empty()) entry.help = option.help;
  if (!option.otherwise.empty()) entry.help += "; default: " + option.otherwise;
  const HelpOption in_help = help_option(entry, given.values);
  const auto take = [entry, &given](const std::string& value) {
    if (!entry.choices.empty()) require_word(entry.name, entry.choices, value);
    given.set(entry.name, entry.is_bool() && value.empty() ? "on" : value);
  };
  CLI::Option* added = app.add_option_function<std::string>("--" + entry.name, take, entry.help);
  const bool has_default = option.otherwise.empty() && !in_help.value.empty();
  if (entry.is_bool())  // with a known default, the library would use it for the bare option
    added->expected(0, 1)->type_name(in_help.type + (has_default ? "=" + in_help.value : ""));
  else
    added->type_name(in_help.type)->default_str(has_default ? in_help.value : "");
}

void add_word_option(CLI::App& app, const std::string& name, const std::vector<std::string>& words,
                     const std::string& default_word, const std::string& help,
                     const std::function<void(const std::string&)>& set) {
  const auto take = [=](const std::string& word) {
    require_word(name, words, word);
    set(word);
  };
  app.add_option_function<std::string>("--" + name, take, help)->type_name(joined(words))->default_str(default_word);
}

}  // namespace vergence
