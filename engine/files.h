// Whole files at once, written so that a kill at any moment leaves either the old file or the new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

struct stat;

namespace vergence {

/// Opens the regular file at `path` for reading and tells its status; returns its descriptor. Nothing is waited for:
/// throws UsageError naming the path where a FIFO, a socket, a device or a folder lies, or nothing that can be opened.
int open_regular(const std::string& path, struct stat& status);

/// The bytes that a regular file has, without opening it. Throws UsageError, beginning with `where`, for what
/// open_regular refuses.
std::int64_t file_bytes(const std::string& path, const std::string& where);

/// The bytes of a regular file. Throws UsageError naming the path for what open_regular refuses, and if it cannot be
/// read.
std::string read_file(const std::string& path);

/// A text that is given to the program, as a file or by a process: a FIFO, a pipe and a terminal are read to their end,
/// however long that takes; `is_file` (where given) says whether it was a regular file, which can be read again. Throws
/// UsageError naming the path if it cannot be read or is longer than 16 MiB.
std::string read_text(const std::string& path, bool* is_file = nullptr);

/// A file's bytes without reading them: pages come from the disk when they are touched.
class MappedFile {
 public:
  /// Throws UsageError naming the path if it cannot be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::string_view bytes() const { return {data_, size_}; }
  /// Throws UsageError naming the path if the file has been written to, cut off, replaced, removed or made unreadable
  /// since it was opened. To be asked before pages are touched: those of a file that was cut off cannot be.
  void check_unchanged() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t seconds_ = 0, nanoseconds_ = 0;
  std::uint32_t mode_ = 0;
};

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
