// How options are declared: one line each, with an accessor for the field where the value lives.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "models/encoder.h"
#include "ssl/options/table.h"

namespace vergence {

namespace ranges {
inline const Range any{};
inline const Range positive{0, std::numeric_limits<double>::infinity(), true, false};
inline const Range not_negative{0, std::numeric_limits<double>::infinity()};
inline const Range unit{0, 1};
inline const Range below_one{0, 1, false, true};
inline const Range share{0, 1, true, false};
inline const Range layer{1, 1e6};  // the width of one

inline Range from(double low, double high = std::numeric_limits<double>::infinity()) { return {low, high}; }
}  // namespace ranges

/// Collects entries, group by group. An accessor takes Options& and returns a reference to the field.
class OptionBuilder {
 public:
  std::vector<OptionEntry> entries;
  std::string group;  // heading in --help of what is declared next

  template <class Get>
  OptionEntry& add(std::string name, Get get, std::string help) {
    OptionEntry entry;
    entry.group = group;
    entry.name = std::move(name);
    entry.fields = {field_of(get)};
    entry.help = std::move(help);
    return entries.emplace_back(std::move(entry));
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
  template <class Get>
  void choice(std::string name, Get get, std::vector<std::string> choices, std::string help,
              unsigned flags = OptionEntry::none) {
    OptionEntry& entry = add(std::move(name), get, std::move(help));
    entry.choices = std::move(choices);
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
  /// An option that a family of encoders brings.
  void encoder(const EncoderOption& option) {
    std::visit(
        [&](const auto& field) {
          OptionEntry& entry = add(
              option.name, [field](Options & o) -> auto& { return field(o.own); }, option.help);
          entry.choices = option.choices;
          const bool is_number = std::is_same_v<decltype(field(std::declval<OwnSettings&>())), std::int64_t&>;
          if (is_number) entry.range = {static_cast<double>(option.low), static_cast<double>(option.high)};
        },
        option.field);
  }
  /// view.NAME for both views, view1.NAME and view2.NAME for one. `get(options, view)` returns the field.
  template <class Get>
  void view(const std::string& name, Get get, Range range, const std::string& help,
            const std::vector<std::string>& choices = {}) {
    const auto first = [get](Options & o) -> auto& { return get(o, 0); };
    const auto second = [get](Options & o) -> auto& { return get(o, 1); };
    for (const int which : {0, 1, 2}) {
      OptionEntry& entry = add(join("view", which ? std::to_string(which) : "", ".", name), first, help);
      if (which == 0) entry.fields = {field_of(first), field_of(second)};
      if (which == 2) entry.fields = {field_of(second)};
      if (which != 0) entry.both = "view." + name;
      entry.range = range;
      entry.choices = choices;
    }
  }

 private:
  /// Wraps a generic accessor in the std::function of the type it returns a reference to.
  template <class Get>
  static Field field_of(Get get) {
    using Value = std::remove_reference_t<decltype(get(std::declval<Options&>()))>;
    return std::function<Value&(Options&)>(get);
  }
};

/// The accessor of a member of an objective's own settings (Options::own): own(&SimclrOptions::temperature).
template <class T, class Value>
auto own(Value T::*member) {
  return [member](Options& options) -> Value& { return options.own.get<T>().*member; };
}

/// The options of one objective.
struct ObjectiveOptions {
  const char* name;   // as --objective takes it, and of its options: "NAME.temperature"
  const char* title;  // of its options in --help
  void (*declare)(OptionBuilder& options);
};

/// Those of all objectives, in the order of their names. The list of objectives (ssl/objective_list.h) defines it, so
/// that the table of options needs to know none of them.
const std::vector<ObjectiveOptions>& objective_options();

/// The objectives there are, by name.
const std::vector<std::string>& objective_names();

}  // namespace vergence
