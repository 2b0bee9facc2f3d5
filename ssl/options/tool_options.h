// Options of pretrain's table (ssl/options/table.h) on the command lines of other tools: same names, checks and help.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/text/words.h"
#include "ssl/options/options.h"

// The CLI11 library's command line.
namespace CLI {
class App;
}

namespace vergence {

/// Options given on a tool's command line; they override a run's.
struct GivenOptions {
  Options values;                  // given values, else the tool's own defaults
  std::vector<std::string> names;  // of the given options

  bool has(const std::string& name) const;
  /// Sets a value as on the command line. Throws like set_option.
  void set(const std::string& name, const std::string& value);
  /// Copies the given values to `other`.
  void apply_to(Options& other) const;
};

/// How a tool uses a table option.
struct ToolOption {
  std::string name;                    // its name in the table
  std::string otherwise = {};          // the default in words; empty: the value in `given`
  std::vector<std::string> only = {};  // the table's words that the tool takes; empty: all
  std::string help = {};               // the tool's own help; empty: the table's
};

/// Adds a table option to `app`. `given` receives its value and must outlive the parse.
void add_table_option(CLI::App& app, const ToolOption& option, GivenOptions& given);

/// Adds a tool's own option that takes words; calls `set` with the given one. `default_word`: its default in --help.
void add_word_option(CLI::App& app, const std::string& name, const std::vector<std::string>& words,
                     const std::string& default_word, const std::string& help,
                     const std::function<void(const std::string&)>& set);

/// The same for a variable, which must outlive the parse.
template <class T>
void add_word_option(CLI::App& app, const std::string& name, T& variable, std::type_identity_t<Words<T>> words,
                     const std::string& help) {
  add_word_option(app, name, words.texts(), words.text_of(variable), help,
                  [=, &variable](const std::string& word) { variable = *words.value_of(word); });
}
/// The same for a variable that has no value unless the option is given.
template <class T>
void add_word_option(CLI::App& app, const std::string& name, std::optional<T>& variable,
                     std::type_identity_t<Words<T>> words, const std::string& help) {
  add_word_option(app, name, words.texts(), "", help,
                  [=, &variable](const std::string& word) { variable = *words.value_of(word); });
}

}  // namespace vergence
