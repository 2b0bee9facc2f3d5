// Words and numbers in messages and from files.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// "1 image", "2 images".
std::string counted(std::int64_t count, std::string_view thing);

/// "a, b, c".
std::string listed(const std::vector<std::string>& names);

/// "a, b or c".
std::string alternatives(const std::vector<std::string>& names);

/// "[2, 3]".
std::string sizes_text(const std::vector<std::int64_t>& sizes);

/// The field of a CSV file (RFC 4180): in quotation marks where it needs them.
std::string csv_field(const std::string& text);

/// `text` as a number of this type, or none if not all of it is one number.
template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

/// The number with this many decimals.
std::string fixed_text(double value, int decimals);

/// The shortest text that `number_of` reads as the same value.
std::string shortest_text(double value);

/// `text` as a hexadecimal number, or none if not all of it is hexadecimal digits.
std::optional<std::uint32_t> hexadecimal_of(std::string_view text);

}  // namespace vergence
