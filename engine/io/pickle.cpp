// A stack machine for the opcodes of Python's pickletools. It runs no code: REDUCE, NEWOBJ and BUILD only keep their
// parts. Every opcode makes at most one value and copies of text are limited, so memory grows with the file.
#include "engine/io/pickle.h"

#include <cstring>
#include <unordered_map>

#include "engine/text/words.h"
#include "kernels/error.h"

namespace vergence {

using Value = PickleValue;
using Kind = PickleValue::Kind;

const Value* Value::at(std::string_view key) const {
  if (kind != Kind::dict) return nullptr;
  for (std::size_t i = 0; i + 1 < children.size(); i += 2)
    if (children[i]->kind == Kind::bytes && children[i]->bytes == key) return children[i + 1];
  return nullptr;
}

class PickleMachine {
 public:
  PickleMachine(Pickle& pickle, std::string_view bytes) : pickle_(pickle), bytes_(bytes) {}

  const Value* run() {
    for (;;) {
      const char code = take(1)[0];
      if (code == '.') return pop();
      if (!(constant(code) || text(code) || collection(code) || stack_or_memo(code) || construction(code)))
        fail(join("an unknown opcode ", static_cast<int>(static_cast<unsigned char>(code))));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    pickle_.fail(join(what, " before byte ", at_, " of ", bytes_.size()));
  }

  // ---- the file

  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size() - at_) fail("the file ends too early");
    const std::string_view part = bytes_.substr(at_, static_cast<std::size_t>(count));
    at_ += static_cast<std::size_t>(count);
    return part;
  }
  /// A little-endian number.
  std::uint64_t number(int length) {
    const std::string_view part = take(static_cast<std::uint64_t>(length));
    std::uint64_t value = 0;
    for (int i = length - 1; i >= 0; --i)
      value = value << 8 | static_cast<unsigned char>(part[static_cast<std::size_t>(i)]);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) fail("a line has no end");
    const std::string_view part = take(end - at_);
    take(1);
    return part;
  }
  template <class T>
  T parsed(std::string_view digits) const {
    const std::optional<T> value = number_of<T>(digits);
    if (!value) fail("a number cannot be read");
    return *value;
  }

  // ---- the stack

  void push(Value value) {
    pickle_.values_.push_back(std::move(value));
    stack_.push_back(&pickle_.values_.back());
  }
  void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }
  void push_bytes(std::string_view text) { push({.kind = Kind::bytes, .bytes = text}); }
  /// Stores text that the file does not have in this form. Limited, because a short opcode can ask for a copy of any
  /// other text.
  std::string_view kept(std::string text) {
    kept_bytes_ += text.size();
    if (kept_bytes_ > 16 * bytes_.size()) fail("the same text is used too often");
    pickle_.texts_.push_back(std::move(text));
    return pickle_.texts_.back();
  }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value* pop() {
    if (stack_.size() <= floor()) fail("the stack is empty");
    Value* top = stack_.back();
    stack_.pop_back();
    return top;
  }
  /// A list or dict. Also an object of a derived class, whose items are not read.
  Value* container(Kind kind, const char* what) {
    const bool derived = stack_.size() > floor() && stack_.back()->kind == Kind::object;
    return top(derived ? Kind::object : kind, what);
  }
  Value* top(Kind kind, const char* what) {
    if (stack_.size() <= floor() || stack_.back()->kind != kind) fail(join("expected ", what));
    return stack_.back();
  }
  /// Removes and returns the values above the last mark, and removes the mark.
  Value::Children above_mark() {
    if (marks_.empty()) fail("there is no mark");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    Value::Children items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }
  void push_last(std::size_t count) {
    Value::Children items(count);
    for (std::size_t i = count; i > 0; --i) items[i - 1] = pop();
    push({.kind = Kind::list, .children = std::move(items)});
  }
  void extend(Value& value, const Value::Children& more) {
    if (value.kind == Kind::object) return;
    if (value.kind == Kind::dict && more.size() % 2) fail("a key has no value");
    value.children.insert(value.children.end(), more.begin(), more.end());
  }

  // ---- opcodes; false: not one of these

  bool constant(char code) {
    switch (code) {
      case '\x80':
        return take(1), true;  // PROTO
      case '\x95':
        return take(8), true;  // FRAME
      case 'N':
        return push({}), true;  // NONE
      case '\x88':
      case '\x89':
        return push({.kind = Kind::boolean, .integer = code == '\x88'}), true;
      case 'K':
        return push_integer(static_cast<std::int64_t>(number(1))), true;  // BININT1
      case 'M':
        return push_integer(static_cast<std::int64_t>(number(2))), true;  // BININT2
      case 'J':
        return push_integer(static_cast<std::int32_t>(number(4))), true;  // BININT
      case '\x8a':
        return push_long_integer(number(1)), true;  // LONG1
      case '\x8b':
        return push_long_integer(number(4)), true;  // LONG4
      case 'I':
        return push_line_integer(line()), true;
      case 'L':
        return push_long(line()), true;
      case 'F':
        return push({.kind = Kind::real, .real = parsed<double>(line())}), true;
      case 'G':
        return push({.kind = Kind::real, .real = big_endian_double()}), true;  // BINFLOAT
      default:
        return false;
    }
  }

  /// Numbers of more than 64 bits become real ones.
  void push_long_integer(std::uint64_t length) {
    if (length > 8) return push({.kind = Kind::real, .real = rounded_integer(take(length))});
    const std::uint64_t value = number(static_cast<int>(length)), unused = 8 * (8 - length);
    push_integer(length == 0 ? 0 : static_cast<std::int64_t>(value << unused) >> unused);
  }
  /// Little-endian, in two's complement.
  static double rounded_integer(std::string_view bytes) {
    const double sign = bytes.back() & 0x80 ? -1 : 0;
    double value = sign;
    for (std::size_t i = bytes.size(); i > 0; --i) value = 256 * value + static_cast<unsigned char>(bytes[i - 1]);
    return value;
  }
  void push_line_integer(std::string_view digits) {
    if (digits == "00" || digits == "01") return push({.kind = Kind::boolean, .integer = digits == "01"});
    push_integer(parsed<std::int64_t>(digits));
  }
  void push_long(std::string_view digits) {
    if (digits.ends_with('L')) digits.remove_suffix(1);
    push_integer(parsed<std::int64_t>(digits));
  }
  double big_endian_double() {
    std::uint64_t bits = number(8), swapped = 0;
    for (int i = 0; i < 8; ++i, bits >>= 8) swapped = swapped << 8 | (bits & 255);
    double value;
    std::memcpy(&value, &swapped, sizeof value);
    return value;
  }

  bool text(char code) {
    switch (code) {
      case 'U':
      case 'C':
      case '\x8c':
        return push_bytes(take(number(1))), true;  // SHORT_BINSTRING, _BINBYTES, _BINUNICODE
      case 'T':
      case 'B':
      case 'X':
        return push_bytes(take(number(4))), true;  // BINSTRING, BINBYTES, BINUNICODE
      case '\x8e':
      case '\x8d':
      case '\x96':
        return push_bytes(take(number(8))), true;  // ...8, BYTEARRAY8
      case 'S':
        return push_bytes(kept(unquoted(line()))), true;
      case 'V':
        return push_bytes(kept(unescaped(line()))), true;
      case 'c': {  // GLOBAL
        const std::string_view module = line();
        return push({.kind = Kind::name, .bytes = kept(join(module, '.', line()))}), true;
      }
      case '\x93': {  // STACK_GLOBAL
        const std::string_view name = top(Kind::bytes, "a name")->bytes;
        pop();
        const std::string_view module = top(Kind::bytes, "a module")->bytes;
        pop();
        return push({.kind = Kind::name, .bytes = kept(join(module, '.', name))}), true;
      }
      default:
        return false;
    }
  }

  /// Parses `digits` hexadecimal digits from `first` on; fails with the message `otherwise` if they are not there.
  std::uint32_t escaped(std::string_view text, std::size_t first, std::size_t digits, const char* otherwise) const {
    const std::optional<std::uint32_t> value =
        first + digits <= text.size() ? hexadecimal_of(text.substr(first, digits)) : std::nullopt;
    if (!value) fail(otherwise);
    return *value;
  }
  /// 'a\x00b' -> its bytes, as Python's repr writes them.
  std::string unquoted(std::string_view quoted) const {
    if (quoted.size() < 2 || quoted.front() != quoted.back() || (quoted[0] != '\'' && quoted[0] != '"'))
      fail("a string has no quotes");
    quoted = quoted.substr(1, quoted.size() - 2);
    std::string plain;
    plain.reserve(quoted.size());
    for (std::size_t i = 0; i < quoted.size(); ++i) {
      if (quoted[i] != '\\') {
        plain += quoted[i];
        continue;
      }
      if (++i == quoted.size()) fail("a string ends within an escape");
      switch (quoted[i]) {
        case 'n':
          plain += '\n';
          break;
        case 'r':
          plain += '\r';
          break;
        case 't':
          plain += '\t';
          break;
        case '\\':
        case '\'':
        case '"':
          plain += quoted[i];
          break;
        case 'x': {
          plain += static_cast<char>(escaped(quoted, i + 1, 2, "a string has a bad escape"));
          i += 2;
          break;
        }
        default:
          fail("a string has an unknown escape");
      }
    }
    return plain;
  }

  static void append_utf8(std::string& text, std::uint32_t point) {
    const auto add = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (point < 0x80) return add(point);
    if (point < 0x800) return add(0xc0 | point >> 6), add(0x80 | (point & 0x3f));
    add(point < 0x10000 ? 0xe0 | point >> 12 : 0xf0 | point >> 18);
    if (point >= 0x10000) add(0x80 | (point >> 12 & 0x3f));
    add(0x80 | (point >> 6 & 0x3f)), add(0x80 | (point & 0x3f));
  }
  /// The text of protocol 0 as UTF-8: its bytes are code points, as are \u00e9 and \U0001f600.
  std::string unescaped(std::string_view raw) const {
    std::string text;
    text.reserve(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) {
      const char next = raw[i] == '\\' && i + 1 < raw.size() ? raw[i + 1] : '\0';
      if (next == 'u' || next == 'U') {
        const std::size_t length = next == 'u' ? 4 : 8, first = i + 2;
        const std::uint32_t point = escaped(raw, first, length, "a text has a bad escape");
        if (point > 0x10ffff) fail("a text has a bad escape");
        append_utf8(text, point);
        i = first + length - 1;
      } else {
        append_utf8(text, static_cast<unsigned char>(raw[i]));
        if (next == '\\') append_utf8(text, static_cast<unsigned char>(raw[++i]));  // it escapes nothing
      }
    }
    return text;
  }

  bool collection(char code) {
    switch (code) {
      case ']':
      case ')':
      case '\x8f':
        return push({.kind = Kind::list}), true;  // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
      case '}':
        return push({.kind = Kind::dict}), true;
      case 'l':
      case 't':
      case '\x91':
        return push({.kind = Kind::list, .children = above_mark()}), true;  // LIST, TUPLE, FROZENSET
      case '\x85':
        return push_last(1), true;
      case '\x86':
        return push_last(2), true;
      case '\x87':
        return push_last(3), true;
      case 'd': {  // DICT
        const Value::Children items = above_mark();
        push({.kind = Kind::dict});
        return extend(*stack_.back(), items), true;
      }
      case 'a': {  // APPEND
        Value* item = pop();
        return extend(*container(Kind::list, "a list"), {item}), true;
      }
      case 'e':
      case '\x90': {  // APPENDS, ADDITEMS
        const Value::Children items = above_mark();
        return extend(*container(Kind::list, "a list"), items), true;
      }
      case 's': {  // SETITEM
        Value *value = pop(), *key = pop();
        return extend(*container(Kind::dict, "a dict"), {key, value}), true;
      }
      case 'u': {  // SETITEMS
        const Value::Children items = above_mark();
        return extend(*container(Kind::dict, "a dict"), items), true;
      }
      default:
        return false;
    }
  }

  bool stack_or_memo(char code) {
    switch (code) {
      case '(':
        return marks_.push_back(stack_.size()), true;
      case '0':
        return pop(), true;
      case '1':
        return above_mark(), true;
      case '2':
        return push_again(), true;
      case 'p':
        return memoize(parsed<std::uint64_t>(line())), true;
      case 'q':
        return memoize(number(1)), true;
      case 'r':
        return memoize(number(4)), true;
      case '\x94':
        return memoize(memo_.size()), true;
      case 'g':
        return recall(parsed<std::uint64_t>(line())), true;
      case 'h':
        return recall(number(1)), true;
      case 'j':
        return recall(number(4)), true;
      default:
        return false;
    }
  }
  void push_again() {
    Value* value = pop();
    stack_.insert(stack_.end(), 2, value);
  }
  void memoize(std::uint64_t place) {
    Value* value = pop();
    stack_.push_back(value);
    memo_[place] = value;
  }
  void recall(std::uint64_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) fail("a reference to nothing");
    stack_.push_back(found->second);
  }

  bool construction(char code) {
    switch (code) {
      case 'R':
      case '\x81': {  // REDUCE, NEWOBJ
        Value *arguments = pop(), *callable = pop();
        return construct(callable, arguments), true;
      }
      case '\x92': {  // NEWOBJ_EX, whose named arguments are left out
        pop();
        Value *arguments = pop(), *callable = pop();
        return construct(callable, arguments), true;
      }
      case 'b':  // BUILD
        return build(pop()), true;
      case 'Q':  // BINPERSID
        return push({.kind = Kind::persistent, .children = {pop()}}), true;
      default:
        return false;
    }
  }

  /// An OrderedDict's attributes are left out.
  void build(const Value* state) {
    if (stack_.size() > floor() && stack_.back()->kind == Kind::dict) return;
    Value* object = top(Kind::object, "an object");
    if (object->children.size() != 2) fail("an object is built twice");
    object->children.push_back(state);
  }
  /// In old protocols, Python 3 writes bytes as calls with text: turns those calls back into plain bytes.
  void construct(Value* callable, Value* arguments) {
    const Value::Children& given = arguments->children;
    const std::string_view name = callable->kind == Kind::name ? callable->bytes : "";
    if (name == "_codecs.encode" && given.size() == 2 && given[1]->bytes == "latin1")
      return push_bytes(kept(from_utf8(given[0]->bytes)));
    if (name == "collections.OrderedDict" && given.empty()) return push({.kind = Kind::dict});
    if (name == "__builtin__.bytes" && arguments->kind == Kind::list && given.empty()) return push_bytes("");
    push({.kind = Kind::object, .children = {callable, arguments}});
  }
  /// UTF-8 of code points below 256 -> one byte each.
  std::string from_utf8(std::string_view text) const {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      if (byte < 0x80) {
        plain += text[i];
      } else {
        if ((byte != 0xc2 && byte != 0xc3) || ++i == text.size()) fail("bytes that are no Latin-1 text");
        plain += static_cast<char>((byte & 3) << 6 | (static_cast<unsigned char>(text[i]) & 0x3f));
      }
    }
    return plain;
  }

  Pickle& pickle_;
  std::string_view bytes_;
  std::size_t at_ = 0, kept_bytes_ = 0;
  std::vector<Value*> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Value*> memo_;
};

Pickle::Pickle(std::string_view bytes, std::string where) : where_(std::move(where)) {
  root_ = PickleMachine(*this, bytes).run();
}

void Pickle::fail(const std::string& what) const {
  throw UsageError(join(where_, ": not a pickle of plain data: ", what));
}

}  // namespace vergence
