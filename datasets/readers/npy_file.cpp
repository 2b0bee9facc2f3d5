#include "datasets/readers/npy_file.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "engine/io/files.h"
#include "engine/text/printable.h"
#include "kernels/error.h"

namespace vergence {
namespace {

constexpr std::string_view magic{"\x93NUMPY", 6};
constexpr std::int64_t max_header = 65535;  // bytes: version 1.0's limit; an array of numbers needs 128
constexpr std::size_t max_sides = 32;       // dimensions: NumPy's limit before 2.0

/// A little-endian number.
std::int64_t header_number(std::string_view bytes) {
  std::int64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

/// Parses a header's text from its first character on.
class HeaderText {
 public:
  HeaderText(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyHeader parse() {
    NpyHeader header;
    bool type = false, order = false, shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !std::exchange(type, true))
        header.type = type_of(quoted());
      else if (key == "fortran_order" && !std::exchange(order, true))
        header.fortran_order = truth();
      else if (key == "shape" && !std::exchange(shape, true))
        header.shape = tuple();
      else
        fail("unexpected key '" + shortened(key, 40) + "'");
      if (accept(',')) continue;
      expect('}');
      break;
    }
    if (!type || !order || !shape) fail("a key is missing");
    skip_spaces();
    if (at_ + 1 != text_.size() || text_[at_] != '\n') fail("it does not end with a line");
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw UsageError(join(where_, ": not a header of NumPy: ", what, " at character ", at_, " of '",
                          shortened(text_, 80),
                          "', expected {'descr': '|u1', 'fortran_order': False, 'shape': (N, ...), }"));
  }

  void skip_spaces() { at_ = std::min(text_.find_first_not_of(' ', at_), text_.size()); }
  bool accept(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(join("no '", c, "'"));
  }

  std::string quoted() {
    skip_spaces();
    const char quote = accept('\'') ? '\'' : '"';
    if (quote == '"') expect('"');
    const std::size_t end = std::min(text_.find(quote, at_), text_.size());
    std::string inside(text_.substr(at_, end - at_));
    if (end == text_.size() || inside.find('\\') != std::string::npos) fail("a text that has no end, or escapes");
    at_ = end + 1;
    return inside;
  }

  /// Byte order, kind and size.
  std::string type_of(const std::string& type) const {
    const bool plain = type.size() >= 3 && type.size() <= 5 && std::string_view("<>|=").find(type[0]) < 4 &&
                       std::all_of(type.begin() + 2, type.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
                       type[2] != '0' && ((type[1] >= 'a' && type[1] <= 'z') || (type[1] >= 'A' && type[1] <= 'Z'));
    if (!plain) fail("unknown type '" + shortened(type, 40) + "'");
    return type;
  }

  bool truth() {
    skip_spaces();
    for (const bool value : {false, true}) {
      const std::string_view word = value ? "True" : "False";
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return value;
    }
    fail("neither True nor False");
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> sides;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      std::int64_t side = 0;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), side);
      if (error != std::errc() || side < 0 || *begin == '-' || (*begin == '0' && end != begin + 1))
        fail("a number cannot be read");
      at_ += static_cast<std::size_t>(end - begin);
      if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // as Python 2 writes long numbers
      sides.push_back(side);
      if (sides.size() > max_sides) fail("too many dimensions");
      if (accept(',')) continue;
      expect(')');
      if (sides.size() == 1) fail("a tuple of one number has no comma");
      break;
    }
    return sides;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

}  // namespace

bool is_integer_type(std::string_view type) { return type[1] == 'i' || type[1] == 'u'; }

bool NpyHeader::is_integer() const { return is_integer_type(type); }

std::int64_t NpyHeader::value_bytes() const {
  std::int64_t bytes = 0;
  std::from_chars(type.data() + 2, type.data() + type.size(), bytes);
  return type[1] == 'U' ? 4 * bytes : bytes;  // text is counted in characters
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
  return join("(", shortened(text), shape.size() == 1 ? ",)" : ")");
}

NpyHeader parse_npy_header(std::string_view text, const std::string& where) { return HeaderText(text, where).parse(); }

std::string npy_header_bytes(const std::string& type, const std::vector<std::int64_t>& shape) {
  std::string sides;
  for (const std::int64_t side : shape) sides += (sides.empty() ? "" : ", ") + std::to_string(side);
  std::string header =
      join("{'descr': '", type, "', 'fortran_order': False, 'shape': (", sides, shape.size() == 1 ? ",), }" : "), }");
  const std::size_t before = magic.size() + 4;  // with version 1.0 and the header's length
  header.resize((before + header.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
  header += '\n';
  require(header.size() <= static_cast<std::size_t>(max_header), "npy: a shape of ", shape.size(), " sides");
  const auto low = static_cast<char>(header.size() & 255), high = static_cast<char>(header.size() >> 8);
  return join(std::string(magic), std::string{'\x01', '\0', low, high}, header);
}

NpyFile::NpyFile(const std::string& path, std::string where) : where_(std::move(where)) {
  const auto size = static_cast<std::uintmax_t>(file_bytes(path, where_));
  file_.open(path, std::ios::binary);
  require_usage(file_.is_open(), where_, ": cannot be opened");
  std::string start(magic.size() + 6, '\0');
  file_.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(file_.gcount()));
  require_usage(start.substr(0, magic.size()) == magic, where_, ": not a .npy file, it begins with '",
                shortened(start.substr(0, magic.size())), "', expected '\\x93NUMPY'");
  require_usage(start.size() >= magic.size() + 4, where_, " ends within its header");
  const int major = static_cast<unsigned char>(start[6]), minor = static_cast<unsigned char>(start[7]);
  require_usage(major >= 1 && major <= 3 && minor == 0, where_, ": version ", major, ".", minor,
                " of the format, expected 1.0, 2.0 or 3.0");
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  require_usage(start.size() >= magic.size() + 2 + length_bytes, where_, " ends within its header");
  const std::int64_t length = header_number(std::string_view(start).substr(8, length_bytes));
  require_usage(length <= max_header, where_, ": a header of ", length, " bytes, expected at most ", max_header);
  begin_ = 8 + static_cast<std::int64_t>(length_bytes) + length;
  require_usage(static_cast<std::uintmax_t>(begin_) <= size, where_, " ends within its header");
  std::string text(static_cast<std::size_t>(length), '\0');
  file_.clear();
  file_.seekg(begin_ - length);
  file_.read(text.data(), length);
  require_usage(file_.gcount() == length, where_, " ends within its header");
  header_ = parse_npy_header(text, where_);

  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const bool empty = std::find(header_.shape.begin(), header_.shape.end(), 0) != header_.shape.end();
  std::int64_t bytes = header_.value_bytes();
  for (const std::int64_t side : header_.shape) {
    if (empty) break;
    if (bytes > most / side) fail("more bytes than any file has");
    bytes *= side;
  }
  if (empty) bytes = 0;
  values_ = bytes / header_.value_bytes();
  require_usage(size - static_cast<std::uintmax_t>(begin_) == static_cast<std::uintmax_t>(bytes), where_, " has ",
                size - static_cast<std::uintmax_t>(begin_), " bytes of values, expected ", bytes, " of shape ",
                header_.shape_text(), " and type '", header_.type, "'");
}

void NpyFile::read(std::int64_t first, std::int64_t count, void* out) {
  file_.clear();
  file_.seekg(begin_ + first);
  file_.read(static_cast<char*>(out), count);
  require_usage(file_.gcount() == count, where_, " ends early: it has changed since it was opened");
}

std::vector<std::int64_t> NpyFile::integers() {
  const std::int64_t width = header_.value_bytes();
  require(header_.is_integer() && width <= 8, where_, ": values of type ", header_.type, " are no integers");
  std::string bytes(static_cast<std::size_t>(values_ * width), '\0');
  read(0, values_ * width, bytes.data());
  return integers_of(bytes, header_.type);
}

std::vector<std::int64_t> integers_of(std::string_view bytes, std::string_view type) {
  const auto width = static_cast<std::size_t>(type[2] - '0');
  std::vector<std::int64_t> values;
  values.reserve(bytes.size() / width);
  for (std::size_t begin = 0; begin < bytes.size(); begin += width) {
    std::uint64_t value = 0;
    for (std::size_t k = 0; k < width; ++k) {
      const std::size_t at = begin + (type[0] == '>' ? width - 1 - k : k);
      value |= std::uint64_t{static_cast<unsigned char>(bytes[at])} << 8 * k;
    }
    const auto unused = static_cast<int>(64 - 8 * width);
    if (type[1] == 'i')
      values.push_back(static_cast<std::int64_t>(value << unused) >> unused);
    else
      values.push_back(static_cast<std::int64_t>(
          std::min(value, static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))));
  }
  return values;
}

void NpyFile::fail(const std::string& what) const {
  throw UsageError(join(where_, " has shape ", header_.shape_text(), " and type '", header_.type, "': ", what));
}

}  // namespace vergence
