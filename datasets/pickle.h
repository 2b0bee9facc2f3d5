// Python's pickle files as plain data. Nothing is executed: what a file would import is kept as a name, and what it
// would build is kept as the parts it would be built from.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vergence {

/// One value of a pickle; it and its children live as long as the Pickle does.
struct PickleValue {
  enum class Kind { none, boolean, integer, real, bytes, list, dict, name, object };
  using Children = std::vector<const PickleValue*>;

  Kind kind = Kind::none;
  std::int64_t integer = 0;  // boolean: 0 or 1
  double real = 0;
  std::string_view bytes{};  // a string of either sort, or a name such as "numpy.dtype"; lies in the file's bytes
  Children children{};       // list and tuple: items. dict: key, value, key, value. object: callable, arguments, state

  /// The value of a dict's key, or null where there is none (or this is no dict).
  const PickleValue* at(std::string_view key) const;
};

/// An array of bytes in a pickle.
struct PickledArray {
  std::vector<std::int64_t> shape;
  std::string_view bytes;  // row by row, as many as the shape says
};

class Pickle {
 public:
  /// Reads protocols 2 to 5, and 0 and 1 as Python 2 writes them. `bytes` must outlive the result; `where` begins the
  /// message of the UsageError for anything that is not a whole pickle of plain data and arrays.
  Pickle(std::string_view bytes, std::string where);

  const PickleValue& root() const { return *root_; }
  /// The NumPy array of uint8 that `value` would become. Throws UsageError where it is none.
  PickledArray array(const PickleValue* value) const;

 private:
  friend class PickleMachine;

  [[noreturn]] void fail(const std::string& what) const;

  std::string where_;
  std::deque<PickleValue> values_;  // addresses stay; no value owns another, so nothing is destroyed recursively
  std::deque<std::string> texts_;   // of values whose text is not in the file as it is
  const PickleValue* root_ = nullptr;
};

}  // namespace vergence
