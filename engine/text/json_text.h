// JSON files.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace vergence {

/// The text of `value`, in one line or, with an `indent`, in several. Its strings may be any bytes, such as paths: each
/// stands there as stored_text writes it. Keys must be UTF-8. All JSON that is written or printed comes from here.
std::string json_text(nlohmann::ordered_json value, int indent = -1);

/// The value of a JSON text; one whose is_discarded() is true where the text is no JSON. Files that call nlohmann's own
/// parser each compile it anew.
nlohmann::json parse_json(std::string_view text);
/// The same, with the members of objects in the order of the text.
nlohmann::ordered_json parse_ordered_json(std::string_view text);

}  // namespace vergence
