// JSON files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace vergence {

/// The text of `value`, in one line or, with an `indent`, in several. Its strings may be any bytes, such as paths; they
/// are written as by stored_text. Keys must be UTF-8. Everything that writes or prints JSON uses this.
std::string json_text(nlohmann::ordered_json value, int indent = -1);

/// Parses a JSON text; the result's is_discarded() is true for text that is not JSON or nests more than 100 brackets.
/// Use this instead of nlohmann's parser, which is compiled again in every file that calls it.
nlohmann::json parse_json(std::string_view text);
/// The same, but keeps the order of the members of objects.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

}  // namespace vergence
