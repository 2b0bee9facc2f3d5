// An option of one component, such as a family of encoders or a data set. Its value is a field of the component's
// struct, ComponentSettings::get<T>(), so nothing else needs to know the struct.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "engine/component_settings.h"
#include "engine/text/enum_words.h"

namespace vergence {

struct ComponentOption {
  using Choice = WordField<ComponentSettings>;
  using Integer = std::function<std::int64_t&(ComponentSettings&)>;
  using Number = std::function<double&(ComponentSettings&)>;
  using Flag = std::function<bool&(ComponentSettings&)>;
  using Field = std::variant<Choice, Integer, Number, Flag>;

  std::string name;  // as on the command line
  Field field;
  std::string help;
  double low = 1, high = 4096;  // for an integer or a number, both inclusive; the default lies between them

  // For encoders, whose file has the option with _ for -:
  bool initial = false;   // affects only the initial weights: not in the file
  bool optional = false;  // a file may omit it: its default then applies
  // For data sets:
  bool training = false;  // affects only training data: encoders are evaluated with its default

  /// The field of a member of the component's struct: an integer, a number or a flag.
  template <class T, class Value>
  static Field field_of(Value T::*member) {
    return std::function<Value&(ComponentSettings&)>(
        [member](ComponentSettings& components) -> Value& { return components.get<T>().*member; });
  }
  /// The same for an enum, whose values have these words.
  template <class T, class Value>
  static Field field_of(Value T::*member, std::type_identity_t<Words<Value>> words) {
    return Choice([member](ComponentSettings& components) -> Value& { return components.get<T>().*member; },
                  std::move(words));
  }
  bool is_flag() const { return std::holds_alternative<Flag>(field); }
};

/// Copies the option's value from `from` to `to`.
void copy_option(const ComponentOption& option, const ComponentSettings& from, ComponentSettings& to);

}  // namespace vergence
