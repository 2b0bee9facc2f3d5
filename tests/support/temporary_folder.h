// A folder for one test, removed when the test ends.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "kernels/error.h"

namespace vergence {

/// A new, empty folder under the system's temporary one. The destructor removes it with its contents. A test that needs
/// a folder that does not exist yet uses a name in this one.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "vergence_XXXXXX").string()) {
    require(::mkdtemp(path_.data()) != nullptr, path_, ": cannot create a temporary folder");
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  /// The path of `name` in the folder.
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// The bytes of a file in the folder. Throws UsageError if there is none.
  std::string bytes(const std::string& name) const {
    std::ifstream in(*this / name, std::ios::binary);
    require_usage(in.is_open(), *this / name, ": cannot be opened");
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
};

}  // namespace vergence
