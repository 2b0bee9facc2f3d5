// Reads Python's pickle files as plain data, without executing anything: an import becomes a name, an object becomes
// the parts to build it from, an OrderedDict becomes a dict. NumPy's arrays: datasets/readers/pickled_array.h;
// PyTorch's tensors: models/weights/torch_checkpoint.h.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vergence {

/// One value of a pickle; valid, with its children, as long as the Pickle.
struct PickleValue {
  enum class Kind { none, boolean, integer, real, bytes, list, dict, name, object, persistent };
  using Children = std::vector<const PickleValue*>;

  Kind kind = Kind::none;
  std::int64_t integer = 0;  // boolean: 0 or 1
  double real = 0;
  std::string_view bytes{};  // text or bytes, or a name such as "numpy.dtype"; points into the file or the Pickle
  // list and tuple: items. dict: key, value, key, value. object: callable, arguments, state. persistent: the id by
  // which the program that wrote the file finds the value elsewhere
  Children children{};

  /// The value of a dict's key; null if it is missing or this is not a dict.
  const PickleValue* at(std::string_view key) const;
};

class Pickle {
 public:
  /// Reads protocols 0 to 5, as Python 2 and 3 write them. `bytes` must outlive the result; `where` begins the message
  /// of the UsageError for anything that is not a whole pickle of plain data.
  Pickle(std::string_view bytes, std::string where);

  const PickleValue& root() const { return *root_; }
  /// Throws the UsageError: "FILE: not a pickle of plain data: WHAT".
  [[noreturn]] void fail(const std::string& what) const;

 private:
  friend class PickleMachine;

  std::string where_;
  std::deque<PickleValue> values_;  // stable addresses; no value owns another, so no destructor recurses
  std::deque<std::string> texts_;   // texts that the file does not have in this form
  const PickleValue* root_ = nullptr;
};

}  // namespace vergence
