// Whole files at once, written so that a kill at any moment leaves either the old file or the new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vergence {

/// The file's bytes. Throws UsageError naming the path if it cannot be read.
std::string read_file(const std::string& path);

/// A file being written beside its target; `commit` syncs it and renames it onto the target. Without `commit` the
/// target stays as it was and the temporary file is removed. All members throw Error naming the path.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::int64_t bytes);
  void write(std::string_view text) { write(text.data(), static_cast<std::int64_t>(text.size())); }
  /// Syncs the file, renames it onto the target and syncs the folder. Nothing may be written afterwards.
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
};

/// Replaces the file at `path` by `bytes`: temporary file beside it, sync, rename, sync of the folder.
void write_atomically(const std::string& path, std::string_view bytes);

/// Creates the folder and those above it; no error where it exists. Throws UsageError naming the path.
void create_folders(const std::string& path);

}  // namespace vergence
