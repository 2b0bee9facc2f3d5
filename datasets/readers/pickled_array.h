// NumPy's arrays and scalars in a pickle, and values described for messages.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/pickle.h"

namespace vergence {

/// A NumPy array, or one of its scalars, in a pickle.
struct PickledArray {
  std::string type;                 // as NumPy writes it: byte order, kind, bytes of a value: "|u1", "<i8"
  std::vector<std::int64_t> shape;  // of a scalar: none
  std::string_view bytes;           // row by row, as many as type and shape say
};

/// The NumPy array of numbers that `value` describes. Throws UsageError if it is not one.
PickledArray pickled_array(const Pickle& pickle, const PickleValue* value);
/// The whole number of `value` if it is a Python int or a NumPy integer scalar; none otherwise, also for True and
/// False. Throws UsageError for a damaged scalar.
std::optional<std::int64_t> pickled_integer(const Pickle& pickle, const PickleValue& value);
/// Describes `value` for a message: "True", "'cat'", "a list", "a NumPy scalar of type '<f8'".
std::string described(const Pickle& pickle, const PickleValue& value);

}  // namespace vergence
