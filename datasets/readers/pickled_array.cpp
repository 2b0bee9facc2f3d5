#include "datasets/readers/pickled_array.h"

#include <string>
#include <string_view>
#include <utility>

#include "datasets/readers/npy_file.h"
#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {

using Value = PickleValue;
using Kind = PickleValue::Kind;

namespace {

bool is_name(const Value* value, std::string_view ending) {
  return value->kind == Kind::name && value->bytes.starts_with("numpy") && value->bytes.ends_with(ending);
}

/// The arguments that an object is made from.
const Value::Children& arguments_of(const Value& object) { return object.children[1]->children; }

/// A NumPy type of numbers as .npy files name it; empty for any other. It is pickled as dtype("i8"), whose state is
/// (version, byte order, ...).
std::string pickled_type(const Value* type) {
  if (type->kind != Kind::object || !is_name(type->children[0], ".dtype")) return {};
  const Value::Children& given = arguments_of(*type);
  if (given.empty() || given[0]->kind != Kind::bytes) return {};
  std::string_view name = given[0]->bytes;
  if (name == "uint8") name = "u1";
  if (name.starts_with('|')) name.remove_prefix(1);
  if (name.size() != 2 || std::string_view("biuf").find(name[0]) == std::string_view::npos ||
      std::string_view("1248").find(name[1]) == std::string_view::npos)
    return {};
  const Value::Children none, &state = type->children.size() == 3 ? type->children[2]->children : none;
  const bool big = state.size() > 1 && state[1]->kind == Kind::bytes && state[1]->bytes == ">";
  return join(name[1] == '1' ? '|' : big ? '>' : '<', name);
}

}  // namespace

PickledArray filled(const Pickle& pickle, const Value* type, std::vector<std::int64_t> shape, const Value* data) {
  PickledArray array{pickled_type(type), std::move(shape), data->bytes};
  if (array.type.empty() || data->kind != Kind::bytes) pickle.fail("expected a NumPy array of numbers");
  auto size = static_cast<std::uint64_t>(array.type[2] - '0');
  for (const std::int64_t side : array.shape)
    if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(side), &size))
      pickle.fail("an array's shape cannot be");
  if (size != data->bytes.size()) pickle.fail("an array's bytes do not fit its shape");
  return array;
}

PickledArray pickled_array(const Pickle& pickle, const Value* value) {
  if (!value || value->kind != Kind::object) pickle.fail("expected a NumPy array");
  const Value *sides = nullptr, *type = nullptr, *data = nullptr;
  const Value::Children& arguments = arguments_of(*value);
  if (is_name(value->children[0], "._reconstruct") && value->children.size() == 3) {
    const Value::Children& state = value->children[2]->children;  // version, shape, type, column by column?, bytes
    if (state.size() != 5) pickle.fail("expected a NumPy array");
    if (state[3]->integer != 0) pickle.fail("the array lies column by column, expected row by row");
    sides = state[1], type = state[2], data = state[4];
  } else if (is_name(value->children[0], "._frombuffer") && arguments.size() == 4) {
    data = arguments[0], type = arguments[1], sides = arguments[2];
    if (arguments[3]->bytes != "C") pickle.fail("the array lies column by column, expected row by row");
  } else {
    pickle.fail("expected a NumPy array");
  }
  std::vector<std::int64_t> shape;
  for (const Value* side : sides->children) {
    if (side->kind != Kind::integer || side->integer < 0) pickle.fail("an array's shape cannot be");
    shape.push_back(side->integer);
  }
  return filled(pickle, type, std::move(shape), data);
}

/// numpy.int64(3) is pickled as scalar(dtype("i8"), bytes). For any other value: an array without a type.
PickledArray scalar(const Pickle& pickle, const Value& value) {
  if (value.kind != Kind::object || !is_name(value.children[0], ".scalar")) return {};
  const Value::Children& arguments = arguments_of(value);
  if (arguments.size() != 2 || pickled_type(arguments[0]).empty()) return {};
  return filled(pickle, arguments[0], {}, arguments[1]);
}

std::optional<std::int64_t> pickled_integer(const Pickle& pickle, const Value& value) {
  if (value.kind == Kind::integer) return value.integer;
  const PickledArray number = scalar(pickle, value);
  if (number.type.empty() || !is_integer_type(number.type)) return std::nullopt;
  return integers_of(number.bytes, number.type).front();
}

std::string described(const Pickle& pickle, const Value& value) {
  switch (value.kind) {
    case Kind::none:
      return "None";
    case Kind::boolean:
      return value.integer ? "True" : "False";
    case Kind::integer:
      return std::to_string(value.integer);
    case Kind::real:
      return join(value.real, " (a float)");
    case Kind::bytes:
      return join("'", shortened(value.bytes, 40), "'");
    case Kind::list:
      return "a list or tuple";
    case Kind::dict:
      return "a dict";
    default:
      break;
  }
  if (const auto whole = pickled_integer(pickle, value)) return std::to_string(*whole);
  const PickledArray number = scalar(pickle, value);
  if (!number.type.empty()) return join("a NumPy scalar of type '", number.type, "'");
  const Value* callable = value.kind == Kind::name ? &value : value.children[0];
  return callable->kind == Kind::name ? "an object of " + shortened(callable->bytes, 60) : "an object";
}

}  // namespace vergence
