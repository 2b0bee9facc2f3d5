// TOML through toml++, flattened.
#include "ssl/config_toml.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <toml++/toml.h>

#include "engine/shown.h"
#include "kernels/error.h"

namespace vergence {
namespace {

std::string dotted(const std::string& table, std::string_view key) {
  return table.empty() ? std::string(key) : table + "." + std::string(key);
}

std::string number_text(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end.ptr);
}

/// The text of a single number, string or truth value, and its type; an empty name stands for a list's element.
Setting scalar(const toml::node& node, const std::string& where) {
  Setting setting;
  setting.where = where;
  if (const auto* text = node.as_string()) {
    setting.type = Setting::Type::text;
    setting.value = text->get();
  } else if (const auto* integer = node.as_integer()) {
    setting.type = Setting::Type::integer;
    setting.value = std::to_string(integer->get());
  } else if (const auto* number = node.as_floating_point()) {
    setting.type = Setting::Type::number;
    setting.value = number_text(number->get());
  } else if (const auto* truth = node.as_boolean()) {
    setting.type = Setting::Type::boolean;
    setting.value = truth->get() ? "on" : "off";
  } else {
    throw UsageError(join(where, ": expected a number, a string, true, false or a list of numbers"));
  }
  return setting;
}

Setting list(const toml::array& values, const std::string& where) {
  Setting setting;
  setting.where = where;
  setting.type = Setting::Type::list;
  for (const toml::node& node : values) {
    require_usage(node.is_number(), where, ": expected a list of numbers");
    if (!setting.value.empty()) setting.value += ",";
    setting.value += scalar(node, where).value;
  }
  return setting;
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& file,
             std::vector<std::pair<std::size_t, Setting>>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = dotted(prefix, key.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, name, file, out);
      continue;
    }
    const std::size_t line = key.source().begin.line;
    const std::string where = join(file, ":", line, ": ", shown(name));
    Setting setting = node.is_array() ? list(*node.as_array(), where) : scalar(node, where);
    setting.name = name;
    out.emplace_back(line, std::move(setting));
  }
}

}  // namespace

std::vector<Setting> read_toml(std::string_view text, const std::string& where) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw UsageError(join(where, ":", error.source().begin.line, ": ", shown(error.description(), 300)));
  }
  std::vector<std::pair<std::size_t, Setting>> found;
  flatten(table, "", where, found);
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Setting> settings;
  for (auto& [line, setting] : found) settings.push_back(std::move(setting));
  return settings;
}

std::string toml_quote(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", byte);
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace vergence
