// An unfinished file, which another process may continue: written in place, at any offset.
#pragma once

#include <cstdint>
#include <string>

namespace vergence {

/// Errors name the path; unless noted otherwise the members throw Error.
class PartialFile {
 public:
  /// Opens the file at `path`, or creates it, and locks it. Throws UsageError if another process has it.
  explicit PartialFile(const std::string& path);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  std::int64_t size() const;
  void resize(std::int64_t bytes) const;
  /// Returns when the bytes written so far are on the disk.
  void sync() const;
  void write(const void* data, std::int64_t bytes, std::int64_t at) const;
  /// False if the file ends first.
  bool read(void* data, std::int64_t bytes, std::int64_t at) const;

 private:
  void check(bool good, const char* what) const;

  std::string path_;
  int descriptor_;
};

}  // namespace vergence
