#include "engine/text/json_text.h"

#include <nlohmann/json.hpp>

#include "engine/text/stored_text.h"

namespace vergence {
namespace {

void store_strings(nlohmann::ordered_json& value) {
  if (value.is_string()) {
    value = stored_text(value.get_ref<const std::string&>());
  } else if (value.is_structured()) {
    for (auto& item : value) store_strings(item);
  }
}

/// True if brackets nest deeper than in any file of ours: recursion over such a value would overflow the stack.
bool is_too_deep(std::string_view text) {
  constexpr int deepest = 100;
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"')
      in_string = !in_string;
    else if (in_string && c == '\\')
      ++i;
    else if (!in_string && (c == '[' || c == '{'))
      ++depth;
    else if (!in_string && (c == ']' || c == '}'))
      --depth;
    if (depth > deepest) return true;
  }
  return false;
}

template <class Json>
Json parsed_json(std::string_view text) {
  if (is_too_deep(text)) return Json(nlohmann::detail::value_t::discarded);
  return Json::parse(text.begin(), text.end(), nullptr, false);
}

}  // namespace

std::string json_text(nlohmann::ordered_json value, int indent) {
  store_strings(value);
  return value.dump(indent);
}

nlohmann::json parse_json(std::string_view text) { return parsed_json<nlohmann::json>(text); }

nlohmann::ordered_json parse_ordered_json(std::string_view text) { return parsed_json<nlohmann::ordered_json>(text); }

}  // namespace vergence
