// NumPy's .npy format, versions 1.0, 2.0 and 3.0: a magic string, the length of a header, the header, and the values of
// one array. The header is a Python dict; it is parsed as text, never evaluated.
//   "\x93NUMPY", two bytes of version, length: u16 (1.0) or u32, little-endian,
//   "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 8, 8, 1), }", spaces, "\n", values
#pragma once

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace vergence {

/// Whether values of a type such as "<i8" are whole numbers.
bool is_integer_type(std::string_view type);

/// Consecutive values of an integer type of at most 8 bytes. Values above std::int64_t's maximum become that maximum.
std::vector<std::int64_t> integers_of(std::string_view bytes, std::string_view type);

/// "(2, 8, 8, 1)", as Python writes it. Shortens a long one.
std::string shape_text(const std::vector<std::int64_t>& shape);

/// A header's description of the array after it.
struct NpyHeader {
  std::string type;  // as NumPy writes it: byte order, kind, bytes of a value: "|u1", "<i8"
  bool fortran_order = false;
  std::vector<std::int64_t> shape;

  bool is_integer() const;
  /// Bytes of one value.
  std::int64_t value_bytes() const;
  std::string shape_text() const { return vergence::shape_text(shape); }
};

/// Parses a header's text, without its length. Throws UsageError, beginning with `where`, unless it is as NumPy writes
/// it: three keys, a type of one value (no fields), True or False, and a tuple of numbers from 0 (20L in Python 2).
NpyHeader parse_npy_header(std::string_view text, const std::string& where);

/// The beginning of a file, up to its values: as NumPy writes it for an array in C order. `type` is as in NpyHeader. It
/// takes 128 bytes for any shape of one or two sides.
std::string npy_header_bytes(const std::string& type, const std::vector<std::int64_t>& shape);

/// An open file. Throws UsageError, beginning with `where`, if it cannot be read, is not a .npy file, or has a length
/// other than that of header and values. Allocates no memory for the values.
class NpyFile {
 public:
  NpyFile(const std::string& path, std::string where);

  const NpyHeader& header() const { return header_; }
  /// The array's number of values.
  std::int64_t values() const { return values_; }
  /// Bytes [first, first + count) of the values, as stored. Throws UsageError if the file has become shorter.
  void read(std::int64_t first, std::int64_t count, void* out);
  /// All values, as integers_of gives them.
  std::vector<std::int64_t> integers();
  /// Throws UsageError with the header's values and what was expected.
  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::string where_;
  std::ifstream file_;
  NpyHeader header_;
  std::int64_t begin_ = 0;  // where the values begin
  std::int64_t values_ = 0;
};

}  // namespace vergence
