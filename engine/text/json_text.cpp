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

}  // namespace

std::string json_text(nlohmann::ordered_json value, int indent) {
  store_strings(value);
  return value.dump(indent);
}

nlohmann::json parse_json(std::string_view text) {
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
}

nlohmann::ordered_json parse_ordered_json(std::string_view text) {
  return nlohmann::ordered_json::parse(text.begin(), text.end(), nullptr, false);
}

}  // namespace vergence
