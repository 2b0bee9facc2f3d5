// Whole files at once. Where a file can be replaced, a kill at any moment leaves either the old file or the new one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct stat;

namespace vergence {

/// Opens the regular file at `path` for reading, reports its status and returns its descriptor. Never waits: throws
/// UsageError naming the path for a FIFO, a socket, a device, a folder, or anything that cannot be opened.
int open_regular(const std::string& path, struct stat& status);

/// True if anything exists at `path`, after following links. False also if that cannot be determined.
bool file_exists(const std::string& path);

/// The size of a regular file in bytes, without opening it. Throws UsageError, beginning with `where`, for anything
/// that open_regular refuses.
std::int64_t file_bytes(const std::string& path, const std::string& where);

/// The bytes of a regular file. Throws UsageError naming the path for anything that open_regular refuses, or if reading
/// fails.
std::string read_file(const std::string& path);

/// Reads a file, FIFO, pipe or terminal to its end, however long that takes. `is_file` receives whether it is a regular
/// file, which can be read again. Throws UsageError naming the path if it cannot be read or exceeds 16 MiB.
std::string read_text(const std::string& path, bool* is_file = nullptr);

/// A mapped file: its pages are read from the disk when they are first touched.
class MappedFile {
 public:
  /// Throws UsageError naming the path if it cannot be mapped.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::string_view bytes() const { return {data_, size_}; }
  /// Throws UsageError naming the path if the file has been written to, truncated, replaced, removed or made unreadable
  /// since it was opened. Call this before touching pages: the pages of a truncated file cannot be read.
  void check_unchanged() const;
  /// Copies `count` bytes from `offset` on. Throws like check_unchanged, also if the file is truncated meanwhile
  /// (touching a mapped page would then end the program).
  void read(std::size_t offset, char* to, std::size_t count) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  const char* data_ = nullptr;
  std::size_t size_ = 0;
  std::int64_t seconds_ = 0, nanoseconds_ = 0;
  std::uint32_t mode_ = 0;
};

/// A file being written. The path's target decides how (Destination::Way, engine/io/destination.h); symbolic links
/// stay. Errors name the path: the constructor throws UsageError if nothing can be written, for example to a folder or
/// to a FIFO that nobody reads; the members throw Error.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// True if a new file, written beside the target, will replace it. Without `commit` the target then stays unchanged.
  bool replaces() const { return !temporary_.empty(); }
  void write(const void* data, std::int64_t bytes);
  void write(std::string_view text) { write(text.data(), static_cast<std::int64_t>(text.size())); }
  /// Syncs the file. If it replaces the target: renames it onto that, keeping the target's permissions, and syncs the
  /// folder. Nothing may be written afterwards.
  void commit();

 private:
  std::string path_, target_, temporary_;  // as given, after following links, beside the target
  bool rewrites_ = false, streams_ = false;
  int descriptor_ = -1;
};

/// Writes all bytes to an open file. If that fails, returns false, and errno says why.
bool write_all(int file, std::string_view bytes);

/// Writes `bytes` through an AtomicFile.
void write_atomically(const std::string& path, std::string_view bytes);

/// The output file of a long computation: checks at the start that it can be written. The constructor throws like
/// AtomicFile's and leaves no trace. A target that is not replaced stays open, since the reader of a FIFO waits.
class ResultFile {
 public:
  explicit ResultFile(std::string path);

  const std::string& path() const { return path_; }
  /// Writes `bytes` through an AtomicFile. Call it once.
  void write(std::string_view bytes);

 private:
  std::string path_;
  std::optional<AtomicFile> file_;
};

/// Follows the links of `path` to a regular file that exists or can be created. Throws UsageError otherwise, also for
/// targets that can only be streamed to; leaves no trace. For files that are written in random order, or read again.
std::string regular_destination(const std::string& path);

/// Syncs a folder: files created, renamed or removed in it are then on the disk. Throws Error naming it.
void sync_folder(const std::string& folder);

/// Creates the folder and its parents, or the one that a link points to; no error if it exists. Throws UsageError
/// naming the path.
void create_folders(const std::string& path);

}  // namespace vergence
