// Files in NumPy's .npy format, as tests write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

/// The low `bytes` bytes of a value.
inline std::string little_endian(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

/// A file with this header: version, length, header, spaces up to a multiple of 64 bytes, line end, values.
inline std::string npy_file(std::string header, const std::string& values, int major = 1) {
  const int length_bytes = major == 1 ? 2 : 4;
  const std::size_t start = 8 + static_cast<std::size_t>(length_bytes);
  while ((start + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  return "\x93NUMPY" + std::string{static_cast<char>(major), '\0'} + little_endian(header.size(), length_bytes) +
         header + values;
}

/// The file that numpy.save writes.
inline std::string npy_array(const std::string& type, const std::vector<std::int64_t>& shape, const std::string& values,
                             int major = 1) {
  std::string sides;
  for (const std::int64_t side : shape) sides += (sides.empty() ? "" : ", ") + std::to_string(side);
  if (shape.size() == 1) sides += ",";
  return npy_file("{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + sides + "), }", values, major);
}

}  // namespace vergence
