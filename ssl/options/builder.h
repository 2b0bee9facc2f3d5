// Declares options: one line each, with an accessor for the field that holds the value.
#pragma once

#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "models/encoder.h"
#include "ssl/options/table.h"

namespace vergence {

struct ObjectiveOptions;

namespace ranges {
inline const Range any{};
inline const Range positive{0, std::numeric_limits<double>::infinity(), true, false};
inline const Range not_negative{0, std::numeric_limits<double>::infinity()};
inline const Range unit{0, 1};
inline const Range below_one{0, 1, false, true};
inline const Range share{0, 1, true, false};
inline const Range layer{1, 1e6};  // a layer's width

inline Range from(double low, double high = std::numeric_limits<double>::infinity()) { return {low, high}; }
}  // namespace ranges

/// Collects entries, group by group. An accessor takes Options& and returns a reference to the field.
class OptionBuilder {
 public:
  std::vector<OptionEntry> entries;
  std::vector<EffectRule> effects;
  std::string group;  // the --help heading of the next options

  template <class Get>
  OptionEntry& add(std::string name, Get get, std::string help) {
    return add_field(std::move(name), field_of(get), std::move(help));
  }
  template <class Get>
  void text(std::string name, Get get, std::string help, unsigned flags = OptionEntry::none) {
    add(std::move(name), get, std::move(help)).flags = flags;
  }
  /// A path; `leads_to` is "FILE" or "DIR".
  template <class Get>
  void path(std::string name, Get get, const char* leads_to, std::string help, unsigned flags = OptionEntry::none) {
    OptionEntry& entry = add(std::move(name), get, std::move(help));
    entry.path = leads_to;
    entry.flags = flags;
  }
  /// An enum, with a word for each value: {{"auto", CpuConv::automatic}, ...}. The words are spelled nowhere else.
  template <class Get, class T = Referred<Options, Get>>
  void choice(std::string name, Get get, std::type_identity_t<Words<T>> words, std::string help,
              unsigned flags = OptionEntry::none) {
    add_field(std::move(name), WordField<Options>(get, std::move(words)), std::move(help)).flags = flags;
  }
  /// One name of a registry, such as an encoder or a data set.
  template <class Get>
  void registered(std::string name, Get get, std::vector<std::string> names, std::string help,
                  unsigned flags = OptionEntry::none) {
    OptionEntry& entry = add(std::move(name), get, std::move(help));
    entry.choices = std::move(names);
    entry.flags = flags;
  }
  template <class Get>
  void number(std::string name, Get get, Range range, std::string help, unsigned flags = OptionEntry::none) {
    OptionEntry& entry = add(std::move(name), get, std::move(help));
    entry.range = range;
    entry.flags = flags;
  }
  template <class Get>
  void flag(std::string name, Get get, std::string help, unsigned flags = OptionEntry::none) {
    add(std::move(name), get, std::move(help)).flags = flags;
  }
  /// An option that an encoder family or a data set, `owner`, declares.
  void component(const ComponentOption& option, const std::string& owner) {
    owner_ = owner;
    const auto settings = [](Options& o) -> ComponentSettings& { return o.components; };
    if (const auto* words = std::get_if<ComponentOption::Choice>(&option.field))
      add_field(option.name, words->within<Options>(settings), option.help);
    if (const auto* flag = std::get_if<ComponentOption::Flag>(&option.field))
      add(
          option.name, [field = *flag](Options& o) -> bool& { return field(o.components); }, option.help);
    if (const auto* integer = std::get_if<ComponentOption::Integer>(&option.field)) add_number(option, *integer);
    if (const auto* number = std::get_if<ComponentOption::Number>(&option.field)) add_number(option, *number);
    owner_.clear();
  }
  /// The options of an objective, under its title.
  void objective(const ObjectiveOptions& declared);
  /// view.NAME for both views, view1.NAME and view2.NAME for one. `get(options, view)` returns the field.
  template <class Get>
  void view(const std::string& name, Get get, Range range, const std::string& help) {
    add_view(name, field_of(of_view(get, 0)), field_of(of_view(get, 1)), help, range);
  }
  template <class Get, class T = std::remove_reference_t<std::invoke_result_t<Get, Options&, std::size_t>>>
  void view_choice(const std::string& name, Get get, std::type_identity_t<Words<T>> words, const std::string& help) {
    add_view(name, WordField<Options>(of_view(get, 0), words), WordField<Options>(of_view(get, 1), words), help, {});
  }

  /// The options `names` have an effect only with one of these values of `decides`. They are texts of the command line.
  /// A word that leaves the choice to something else, such as "preset", is one of them if that may choose one of them.
  void only_with(std::string decides, std::vector<std::string> values, std::vector<std::string> names) {
    effects.push_back({{{std::move(decides), std::move(values), true}}, std::move(names)});
  }
  /// The options `names` have no effect if every one of these options has one of its values. No option may decide about
  /// itself through others: then nothing would be left to tell its runs apart.
  void idle_with(std::vector<OptionValues> conditions, std::vector<std::string> names) {
    effects.push_back({std::move(conditions), std::move(names)});
  }

 private:
  /// Throws Error for a default out of range: the files of runs would be refused.
  static void require_default(const std::string& name, double value, const Range& range);
  /// Throws Error, naming who declares them, if there already is an option of this name.
  void take_name(const std::string& name);

  template <class Value>
  void add_number(const ComponentOption& option, const std::function<Value&(ComponentSettings&)>& field) {
    ComponentSettings defaults;
    const Range range{option.low, option.high};
    require_default(option.name, static_cast<double>(field(defaults)), range);
    add(
        option.name, [field](Options& o) -> Value& { return field(o.components); }, option.help)
        .range = range;
  }
  /// Wraps a generic accessor in the std::function of the type it returns a reference to.
  template <class Get>
  static Field field_of(Get get) {
    return std::function<Referred<Options, Get>&(Options&)>(get);
  }
  template <class Get>
  static auto of_view(Get get, std::size_t view) {
    return [=](Options & o) -> auto& { return get(o, view); };
  }
  OptionEntry& add_field(std::string name, Field field, std::string help) {
    take_name(name);
    OptionEntry entry;
    entry.group = group;
    entry.name = std::move(name);
    if (const auto* words = std::get_if<WordField<Options>>(&field)) entry.choices = words->words();
    entry.fields = {std::move(field)};
    entry.help = std::move(help);
    return entries.emplace_back(std::move(entry));
  }
  void add_view(const std::string& name, const Field& first, const Field& second, const std::string& help,
                Range range) {
    for (const int which : {0, 1, 2}) {
      OptionEntry& entry =
          add_field(join("view", which ? std::to_string(which) : "", ".", name), which == 2 ? second : first, help);
      if (which == 0) entry.fields.push_back(second);
      if (which != 0) entry.both = "view." + name;
      entry.range = range;
    }
  }

  std::string owner_;                            // who declares the next option; empty: the group
  std::map<std::string, std::string> declared_;  // by whom, of each name with - for _
};

/// The accessor of a member of an objective's own settings (Options::components): option(&SimclrOptions::temperature).
template <class T, class Value>
auto option(Value T::*member) {
  return [member](Options& options) -> Value& { return options.components.get<T>().*member; };
}

/// The options of one objective.
struct ObjectiveOptions {
  const char* name;                         // for --objective, and before its options: "NAME.temperature"
  const char* title;                        // its heading in --help
  void (*declare)(OptionBuilder& options);  // null: it has none
};

/// The options of all objectives, sorted by name. Defined with the list of objectives (ssl/objective_list.h), so that
/// the table of options depends on no objective.
const std::vector<ObjectiveOptions>& objective_options();

/// The names of all objectives.
const std::vector<std::string>& objective_names();

}  // namespace vergence
