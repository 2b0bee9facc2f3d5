// Texts to values and back, for the options in the table. Declared in ssl/options/table.h.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <type_traits>

#include "datasets/class_lists.h"
#include "engine/text/printable.h"
#include "engine/text/stored_text.h"
#include "engine/text/words.h"
#include "ssl/options/names.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

/// The shortest text that reads back as the same value.
template <class Number>
std::string number_text(Number value) {
  char buffer[32];
  // Large whole numbers read better without an exponent.
  const bool whole = std::fabs(value) < Number(1e16) && std::trunc(value) == value;
  const auto end = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(value))
                         : std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

[[noreturn]] void refuse(const OptionEntry& entry, const Setting& setting) {
  // Other programs take a checkpoint's path here.
  const char* hint = entry.name == "resume" ? "; the run's folder is --out's" : "";
  throw UsageError(
      join(setting.where, ": expected ", expected_text(entry), ", got '", shortened(setting.value), "'", hint));
}

/// Describes a value of a configuration file: `the string "5"`.
std::string with_type(const Setting& setting) {
  const std::string value = shortened(setting.value);
  switch (setting.type) {
    case Setting::Type::text:
      return join("the string \"", value, "\"");
    case Setting::Type::integer:
      return join("the integer ", value);
    case Setting::Type::number:
      return join("the float ", value, value.find_first_not_of("-0123456789") == std::string::npos ? ".0" : "");
    case Setting::Type::boolean:
      return join("the truth value ", value == "on" ? "true" : "false");
    case Setting::Type::list:
      return join("the list [", value, "]");
    case Setting::Type::names:
    case Setting::Type::untyped:
      break;
  }
  return join("'", value, "'");
}

[[noreturn]] void refuse_type(const OptionEntry& entry, const Setting& setting) {
  throw UsageError(join(setting.where, ": expected ", expected_text(entry), ", got ", with_type(setting)));
}

/// All of `text` as a finite number in range; refuses anything else.
template <class Number>
Number parse_number(std::string_view text, const OptionEntry& entry, const Setting& setting) {
  const std::optional<Number> value = number_of<Number>(text);
  if (!value) refuse(entry, setting);
  const double number = static_cast<double>(*value);
  // std::isfinite, since NaN must fail too.
  if (!std::isfinite(number) || !entry.range.contains(number)) refuse(entry, setting);
  return *value;
}

bool parse_bool(const OptionEntry& entry, const Setting& setting) {
  if (setting.value == "on" || setting.value == "true") return true;
  if (setting.value == "off" || setting.value == "false") return false;
  refuse(entry, setting);
}

std::string parse_text(const OptionEntry& entry, const Setting& setting) {
  if (entry.choices.empty()) {
    // A path is raw bytes on the command line, and UTF-8 text that encodes them in a file.
    const bool literal = setting.type == Setting::Type::untyped;
    require_usage(setting.value.find('\0') == std::string::npos, setting.where,
                  ": expected a text without a zero byte, got '", shortened(setting.value), "'");
    return literal ? setting.value : read_stored_text(setting.value, setting.where);
  }
  if (std::find(entry.choices.begin(), entry.choices.end(), setting.value) != entry.choices.end()) return setting.value;
  refuse(entry, setting);
}

std::vector<double> parse_list(const OptionEntry& entry, const Setting& setting) {
  std::vector<double> values;
  std::string_view rest = setting.value;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    values.push_back(parse_number<double>(rest.substr(0, comma), entry, setting));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
    if (rest.empty()) refuse(entry, setting);
  }
  return values;
}

/// Whether a configuration file's value has the type of the option; the command line has only texts.
template <class Value>
bool type_fits(Setting::Type type) {
  using Type = Setting::Type;
  if constexpr (std::is_same_v<Value, std::string>) return type == Type::text;
  if constexpr (std::is_same_v<Value, std::int64_t>) return type == Type::integer;
  if constexpr (std::is_floating_point_v<Value>) return type == Type::number || type == Type::integer;
  if constexpr (std::is_same_v<Value, bool>) return type == Type::boolean || type == Type::text;
  if constexpr (std::is_same_v<Value, std::vector<double>>) return type == Type::list;
}

template <class Value>
Value parse_value(const OptionEntry& entry, const Setting& setting) {
  if constexpr (std::is_same_v<Value, std::string>) return parse_text(entry, setting);
  if constexpr (std::is_same_v<Value, bool>) return parse_bool(entry, setting);
  if constexpr (std::is_same_v<Value, std::vector<double>>) return parse_list(entry, setting);
  if constexpr (std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>) {
    return parse_number<Value>(setting.value, entry, setting);
  }
}

template <class Value>
std::string text_of(const Value& value, bool toml) {
  if constexpr (std::is_same_v<Value, std::string>) return toml ? toml_quote(stored_text(value)) : value;
  if constexpr (std::is_same_v<Value, bool>) return toml ? (value ? "true" : "false") : (value ? "on" : "off");
  if constexpr (std::is_same_v<Value, std::vector<double>>) {
    std::string text;
    for (const double item : value) text += (text.empty() ? "" : toml ? ", " : ",") + text_of(item, toml);
    return toml ? "[" + text + "]" : text;
  }
  if constexpr (std::is_same_v<Value, std::int64_t>) return std::to_string(value);
  if constexpr (std::is_floating_point_v<Value>) {
    const std::string text = number_text(value);
    // TOML distinguishes 1 from 1.0 (and accepts 1e-05).
    return toml && text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
  }
}

/// Accessors take a mutable reference because they also serve writing; reading changes nothing.
Options& for_reading(const Options& options) { return const_cast<Options&>(options); }

template <class Value>
std::string text_in(const std::function<Value&(Options&)>& get, const Options& options, bool toml) {
  return text_of(get(for_reading(options)), toml);
}
std::string text_in(const WordField<Options>& field, const Options& options, bool toml) {
  return text_of(field.word(for_reading(options)), toml);
}

std::string field_text(const Field& field, const Options& options, bool toml) {
  return std::visit([&](const auto& value) { return text_in(value, options, toml); }, field);
}

template <class Value>
void copy_value(const std::function<Value&(Options&)>& get, const Options& from, Options& to) {
  get(to) = get(for_reading(from));
}
void copy_value(const WordField<Options>& field, const Options& from, Options& to) {
  field.set(to, field.word(for_reading(from)));
}

/// Whether a configuration file's value may be a word or name: a text, or a boolean, which means on or off.
bool is_word(const Setting& setting) {
  return setting.type == Setting::Type::text || setting.type == Setting::Type::boolean;
}

template <class Value>
void assign_value(const std::function<Value&(Options&)>& get, const OptionEntry& entry, const Setting& setting,
                  Options& options) {
  const bool fits = entry.choices.empty() ? type_fits<Value>(setting.type) : is_word(setting);
  if (setting.type != Setting::Type::untyped && !fits) refuse_type(entry, setting);
  get(options) = parse_value<Value>(entry, setting);
}
void assign_value(const WordField<Options>& field, const OptionEntry& entry, const Setting& setting, Options& options) {
  if (setting.type != Setting::Type::untyped && !is_word(setting)) refuse_type(entry, setting);
  // Files may have words besides these, written by other builds.
  const bool offered = setting.type != Setting::Type::untyped ||
                       std::find(entry.choices.begin(), entry.choices.end(), setting.value) != entry.choices.end();
  if (!offered || !field.set(options, setting.value)) refuse(entry, setting);
}

}  // namespace

bool Range::contains(double value) const {
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string Range::text() const {
  if (std::isinf(high)) {
    return std::isinf(low) ? "" : low_open ? join("above ", number_text(low)) : join(number_text(low), " or more");
  }
  if (low_open) return join("above ", number_text(low), " and at most ", number_text(high));
  if (high_open) return join("from ", number_text(low), " to below ", number_text(high));
  return join("from ", number_text(low), " to ", number_text(high));
}

std::string value_text(const OptionEntry& entry, const Options& options) {
  return field_text(entry.fields[0], options, false);
}

std::string value_toml(const OptionEntry& entry, const Options& options) {
  if (entry.is_input()) return toml_quote(stored_text(absolute_input(entry, value_text(entry, options))));
  return field_text(entry.fields[0], options, true);
}

std::string option_text(const Options& options, const std::string& name) {
  const OptionEntry* entry = find_option(name);
  require(entry != nullptr, "there is no option '", name, "'");
  return value_text(*entry, options);
}

void copy_option(const OptionEntry& entry, const Options& from, Options& to) {
  for (const Field& field : entry.fields) std::visit([&](const auto& value) { copy_value(value, from, to); }, field);
}

std::string absolute_input(const OptionEntry& entry, const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const bool name = (entry.flags & OptionEntry::or_list) && !shipped_classes(path).empty() &&
                    !fs::is_regular_file(path, error);  // the reader of the list prefers a file of that name
  if (path.empty() || name) return path;
  const fs::path absolute = fs::absolute(path, error);
  if (error) return path;
  const fs::path tidy = absolute.lexically_normal();
  // After a link, ".." does not lead where the text says.
  const bool has_dots = path.find("..") != std::string::npos;
  return (!has_dots || fs::equivalent(absolute, tidy, error) ? tidy : absolute).string();
}

bool same_input(const OptionEntry& entry, const std::string& first, const std::string& second) {
  if (first.empty() || second.empty()) return first == second;
  const std::string a = absolute_input(entry, first), b = absolute_input(entry, second);
  std::error_code error;
  return a == b || std::filesystem::equivalent(a, b, error);
}

std::string expected_text(const OptionEntry& entry) {
  if (entry.is_bool()) return "on or off";
  if (!entry.choices.empty()) return alternatives(entry.choices);
  if (std::holds_alternative<std::function<std::string&(Options&)>>(entry.fields[0])) return "text";
  const bool whole = std::holds_alternative<std::function<std::int64_t&(Options&)>>(entry.fields[0]);
  const std::string range = entry.range.text();
  const std::string kind = whole ? "a whole number" : entry.is_list() ? "a list of finite numbers" : "a finite number";
  return range.empty() ? kind : kind + " " + range;
}

void assign_option(const OptionEntry& entry, const Setting& setting, Options& options) {
  for (const Field& field : entry.fields) {
    std::visit([&](const auto& to) { assign_value(to, entry, setting, options); }, field);
  }
}

}  // namespace vergence
