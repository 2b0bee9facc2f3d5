// Whole files at once, written so that a kill at any moment leaves either the old file or the new one wherever a file
// can be replaced.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct stat;

namespace vergence {

/// Opens the regular file at `path` for reading and tells its status; returns its descriptor. Nothing is waited for:
/// throws UsageError naming the path where a FIFO, a socket, a device or a folder lies, or nothing that can be opened.
int open_regular(const std::string& path, struct stat& status);

/// Whether anything lies at `path`, behind its links. False also where that cannot be found out.
bool file_exists(const std::string& path);

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
  /// Copies `count` bytes from `offset` on. Throws as check_unchanged, also if the file changes meanwhile, when
  /// touching a page would end the program.
  void read(std::size_t offset, char* to, std::size_t count) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t seconds_ = 0, nanoseconds_ = 0;
  std::uint32_t mode_ = 0;
};

/// A file being written. What a path leads to decides how (engine/io/destination.h; symbolic links stay):
///   - a regular file, or nothing yet: a file is written beside it, which `commit` syncs and renames onto it. Without
///     `commit` the target stays as it was and the file beside it goes. The target's permissions are kept.
///   - a regular file that cannot be replaced: its contents are overwritten.
///   - a character device, a FIFO, /dev/stdout and the like: the bytes go there as they come.
/// Errors name the path. The constructor throws UsageError where nothing can be written, as to a folder or to a FIFO
/// that nobody reads; the members throw Error.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// True if the file takes the target's place; then nothing is changed before `commit`.
  bool replaces() const { return !temporary_.empty(); }
  void write(const void* data, std::int64_t bytes);
  void write(std::string_view text) { write(text.data(), static_cast<std::int64_t>(text.size())); }
  /// Syncs the file, renames it onto the target and syncs the folder. Nothing may be written afterwards.
  void commit();

 private:
  std::string path_, target_, temporary_;  // as given, behind links, beside the target
  bool rewrites_ = false, streams_ = false;
  int descriptor_ = -1;
};

/// Writes `bytes` as an AtomicFile.
void write_atomically(const std::string& path, std::string_view bytes);

/// The file of what takes long to compute: whether it can be written is found out before. The constructor throws as
/// AtomicFile's and leaves no trace; what is streamed to stays open, since the reader of a FIFO waits.
class ResultFile {
 public:
  explicit ResultFile(std::string path);

  const std::string& path() const { return path_; }
  /// Writes `bytes` as an AtomicFile: once.
  void write(std::string_view bytes);

 private:
  std::string path_;
  std::optional<AtomicFile> file_;
};

/// The path behind the links of `path`, where a regular file is or can be made. Throws UsageError otherwise, also for
/// what can be streamed to alone; leaves no trace. For files that are written here and there, or read again.
std::string regular_destination(const std::string& path);

/// What was made, renamed or removed in a folder is on the disk once this returns. Throws Error naming it.
void sync_folder(const std::string& folder);

/// Creates the folder and those above it, or the one that a link leads to; no error where it exists. Throws UsageError
/// naming the path.
void create_folders(const std::string& path);

}  // namespace vergence
