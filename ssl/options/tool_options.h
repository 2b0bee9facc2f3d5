// Options of the table (ssl/options/table.h) on the command lines of other tools than pretrain: called, checked and
// explained as there.
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

/// Options that somebody gave, beside those of a run that go on to apply where nobody did.
struct GivenOptions {
  Options values;                  // the given ones; the others have the tool's own defaults
  std::vector<std::string> names;  // of those given

  bool has(const std::string& name) const;
  /// As from the command line. Throws as set_option.
  void set(const std::string& name, const std::string& value);
  /// Gives `other` the values of those given.
  void apply_to(Options& other) const;
};

/// How a tool has an option of the table.
struct ToolOption {
  std::string name;                    // in the table
  std::string otherwise = {};          // what applies where it is not given, in words; empty: the value in `given`
  std::vector<std::string> only = {};  // of the table's words those that the tool takes; empty: all
  std::string help = {};               // where the table's says more than is true here; empty: the table's
};

/// `given` must outlive the parse.
void add_table_option(CLI::App& app, const ToolOption& option, GivenOptions& given);

/// An option of a tool's own that takes words: `set` is called with one of them. `shown`: its default in --help.
void add_word_option(CLI::App& app, const std::string& name, const std::vector<std::string>& words,
                     const std::string& shown, const std::string& help,
                     const std::function<void(const std::string&)>& set);

/// The same of a variable, which must outlive the parse.
template <class T>
void add_word_option(CLI::App& app, const std::string& name, T& variable, std::type_identity_t<Words<T>> words,
                     const std::string& help) {
  add_word_option(app, name, words.texts(), words.text_of(variable), help,
                  [=, &variable](const std::string& word) { variable = *words.value_of(word); });
}
/// And of one that has no value where it is not given.
template <class T>
void add_word_option(CLI::App& app, const std::string& name, std::optional<T>& variable,
                     std::type_identity_t<Words<T>> words, const std::string& help) {
  add_word_option(app, name, words.texts(), "", help,
                  [=, &variable](const std::string& word) { variable = *words.value_of(word); });
}

}  // namespace vergence
