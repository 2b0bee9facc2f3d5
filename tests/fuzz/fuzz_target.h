// What the fuzz targets share. A target is one file fuzz_<reader>.cpp that includes this header and defines
// LLVMFuzzerTestOneInput. An input is a file for the reader; with some readers its last bytes choose how it is read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "engine/io/files.h"
#include "kernels/error.h"
#include "tests/support/temporary_folder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace vergence {

/// Ends the process unless `holds`: for a fuzzer this is a crash, and it keeps the input.
inline void must(bool holds, std::string_view property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(property.size()), property.data());
  std::abort();
}

inline bool is_one_line(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

/// Whether `read` takes what it is given. It may refuse by a UsageError of one line that begins with `name`; any other
/// exception leaves here, which ends the process.
template <class Read>
bool accepts(std::string_view name, Read&& read) {
  try {
    read();
    return true;
  } catch (const UsageError& refusal) {
    const std::string_view text = refusal.what();
    must(text.starts_with(name), join("a refusal names the file: ", text));
    must(text.size() <= 1000, join("a refusal is short, not of ", text.size(), " bytes"));
    must(is_one_line(text), join("a refusal is one line of text: ", text));
    return false;
  }
}

/// An input: the file, and the last `count` bytes as settings (0 where the input is shorter).
class FuzzInput {
 public:
  FuzzInput(const std::uint8_t* data, std::size_t size, std::size_t count)
      : file_(reinterpret_cast<const char*>(data), size > count ? size - count : 0),
        settings_(reinterpret_cast<const char*>(data) + file_.size(), size - file_.size()) {}

  std::string_view file() const { return file_; }
  std::int64_t setting(std::size_t i) const {
    return i < settings_.size() ? static_cast<unsigned char>(settings_[i]) : 0;
  }
  /// Two settings as one number.
  std::int64_t wide_setting(std::size_t i) const { return 256 * setting(i) + setting(i + 1); }

 private:
  std::string_view file_, settings_;
};

/// The folder of this process.
inline const TemporaryFolder& fuzz_folder() {
  static const TemporaryFolder folder;
  return folder;
}

/// Writes a file in the folder of this process, without the care of write_atomically; returns its path.
inline std::string write_input(const std::string& name, std::string_view bytes) {
  std::string path = fuzz_folder() / name;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  must(file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && std::fclose(file) == 0,
       "the temporary folder can be written to");
  return path;
}

}  // namespace vergence
