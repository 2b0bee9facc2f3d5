// Reads Python's pickle files as plain data and executes nothing: an import becomes a name, an object the parts to
// build it from.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vergence {

/// One value of a pickle; valid, with its children, as long as the Pickle.
struct PickleValue {
  enum class Kind { none, boolean, integer, real, bytes, list, dict, name, object };
  using Children = std::vector<const PickleValue*>;

  Kind kind = Kind::none;
  std::int64_t integer = 0;  // boolean: 0 or 1
  double real = 0;
  std::string_view bytes{};  // text or bytes, or a name such as "numpy.dtype"; points into the file or the Pickle
  Children children{};       // list and tuple: items. dict: key, value, key, value. object: callable, arguments, state

  /// The value of a dict's key; null if it is missing or this is not a dict.
  const PickleValue* at(std::string_view key) const;
};

/// A NumPy array, or one of its scalars, in a pickle.
struct PickledArray {
  std::string type;                 // as NumPy writes it: byte order, kind, bytes of a value: "|u1", "<i8"
  std::vector<std::int64_t> shape;  // of a scalar: none
  std::string_view bytes;           // row by row, as many as type and shape say
};

class Pickle {
 public:
  /// Reads protocols 0 to 5, as Python 2 and 3 write them. `bytes` must outlive the result; `where` begins the message
  /// of the UsageError for anything that is not a whole pickle of plain data and arrays.
  Pickle(std::string_view bytes, std::string where);

  const PickleValue& root() const { return *root_; }
  /// The NumPy array of numbers that `value` describes. Throws UsageError if it is not one.
  PickledArray array(const PickleValue* value) const;
  /// The whole number of `value` if it is a Python int or a NumPy integer scalar; none otherwise, also for True and
  /// False. Throws UsageError for a damaged scalar.
  std::optional<std::int64_t> integer(const PickleValue& value) const;
  /// Describes `value` for a message: "True", "'cat'", "a list", "a NumPy scalar of type '<f8'".
  std::string described(const PickleValue& value) const;

 private:
  friend class PickleMachine;

  [[noreturn]] void fail(const std::string& what) const;
  PickledArray filled(const PickleValue* type, std::vector<std::int64_t> shape, const PickleValue* data) const;
  PickledArray scalar(const PickleValue& value) const;

  std::string where_;
  std::deque<PickleValue> values_;  // stable addresses; no value owns another, so no destructor recurses
  std::deque<std::string> texts_;   // texts that the file does not have in this form
  const PickleValue* root_ = nullptr;
};

}  // namespace vergence
