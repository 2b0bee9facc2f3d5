// Whole files at once, in the way of POSIX: descriptors, so that a sync means the disk.
#include "engine/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "kernels/error.h"

namespace vergence {
namespace {

std::string reason() { return std::strerror(errno); }

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

/// What lies at a path, in words.
const char* kind_of(mode_t mode) {
  return S_ISDIR(mode)    ? "a folder"
         : S_ISFIFO(mode) ? "a FIFO"
         : S_ISSOCK(mode) ? "a socket"
         : S_ISCHR(mode)  ? "a device"
         : S_ISBLK(mode)  ? "a device"
                          : "of no known kind";
}

/// What a descriptor has, up to its end; more than `most` bytes are refused. Closes the descriptor.
std::string read_all(int descriptor, const std::string& path, std::int64_t expected, std::int64_t most) {
  std::string bytes;
  try {
    bytes.reserve(static_cast<std::size_t>(expected));
    constexpr std::size_t block = 1 << 20;
    for (;;) {
      const std::size_t have = bytes.size();
      bytes.resize(have + std::min(block, std::max<std::size_t>(bytes.capacity() - have, 1 << 12)));
      const ssize_t got = ::read(descriptor, bytes.data() + have, bytes.size() - have);
      const int error = errno;
      bytes.resize(have + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got < 0 && error == EINTR) continue;
      require_usage(got >= 0, path, ": cannot read: ", std::strerror(error));
      if (got == 0) break;
      require_usage(static_cast<std::int64_t>(bytes.size()) <= most, path, ": has more than ", most,
                    " bytes, expected a short text");
    }
  } catch (...) {
    close(descriptor);
    throw;
  }
  close(descriptor);
  return bytes;
}

/// A rename is on the disk only once its folder is.
void sync_folder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  require(descriptor >= 0, folder, ": cannot open the folder: ", reason());
  // Some file systems cannot sync a folder and say EINVAL; theirs is the best there is.
  const bool synced = fsync(descriptor) == 0 || errno == EINVAL;
  const std::string why = reason();
  close(descriptor);
  require(synced, folder, ": cannot sync the folder: ", why);
}

}  // namespace

int open_regular(const std::string& path, struct stat& status) {
  // O_NONBLOCK keeps open() from waiting for a FIFO's writer. Of a regular file it changes one thing: one that a file
  // server has leased is not waited for until the server gives it back, which takes seconds at most.
  int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0 && errno == EWOULDBLOCK && stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
    descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int error = errno;
  if (descriptor < 0) {  // a socket cannot be opened: ENXIO, which says nothing
    const bool other = error == ENXIO && stat(path.c_str(), &status) == 0;
    throw UsageError(other ? join(path, ": cannot read: it is ", kind_of(status.st_mode), ", expected a file")
                           : join(path, ": cannot open: ", std::strerror(error)));
  }
  const bool known = fstat(descriptor, &status) == 0;
  if (known && S_ISREG(status.st_mode)) return descriptor;
  const std::string why = known ? join("it is ", kind_of(status.st_mode), ", expected a file") : reason();
  close(descriptor);
  throw UsageError(join(path, ": cannot read: ", why));
}

std::int64_t file_bytes(const std::string& path, const std::string& where) {
  struct stat status {};
  const bool known = stat(path.c_str(), &status) == 0;
  const std::string why = known ? join("it is ", kind_of(status.st_mode), ", expected a file") : reason();
  require_usage(known && S_ISREG(status.st_mode), where, ": cannot be read: ", why);
  return status.st_size;
}

std::string read_file(const std::string& path) {
  struct stat status {};
  const int descriptor = open_regular(path, status);
  return read_all(descriptor, path, status.st_size, std::numeric_limits<std::int64_t>::max());
}

std::string read_text(const std::string& path, bool* is_file) {
  constexpr std::int64_t most = 16 << 20;
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const std::string why = reason();
  require_usage(descriptor >= 0, path, ": cannot open: ", why);
  struct stat status {};
  const bool regular = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  if (is_file) *is_file = regular;
  return read_all(descriptor, path, regular ? std::min<std::int64_t>(status.st_size, most) : 0, most);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  struct stat status {};
  descriptor_ = open_regular(path, status);
  void* data = status.st_size > 0
                   ? mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_SHARED, descriptor_, 0)
                   : MAP_FAILED;
  if (data == MAP_FAILED) {
    const std::string why = status.st_size > 0 ? reason() : "it is empty";
    close(descriptor_);
    throw UsageError(join(path, ": cannot map: ", why));
  }
  data_ = static_cast<const char*>(data);
  size_ = static_cast<std::size_t>(status.st_size);
  seconds_ = status.st_mtim.tv_sec;
  nanoseconds_ = status.st_mtim.tv_nsec;
  mode_ = status.st_mode;
}

MappedFile::~MappedFile() {
  munmap(const_cast<char*>(data_), size_);
  close(descriptor_);
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  require_usage(fstat(descriptor_, &status) == 0, path_, ": cannot be read: ", reason());
  require_usage(status.st_nlink > 0, path_, ": has been replaced or removed since it was opened");
  require_usage(static_cast<std::size_t>(status.st_size) == size_ && status.st_mtim.tv_sec == seconds_ &&
                    status.st_mtim.tv_nsec == nanoseconds_ && status.st_mode == mode_,
                path_, ": has changed since it was opened (", size_, " bytes then, ", status.st_size, " now)");
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  // The process id keeps two processes that write the same file apart.
  temporary_ = join(path_, ".tmp", getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  require(descriptor_ >= 0, temporary_, ": cannot create: ", reason());
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, std::int64_t bytes) {
  require(descriptor_ >= 0, path_, ": written after commit");
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = ::write(descriptor_, next, static_cast<std::size_t>(bytes));
    if (done < 0 && errno == EINTR) continue;
    require(done >= 0, temporary_, ": cannot write: ", reason());
    next += done;
    bytes -= done;
  }
}

void AtomicFile::commit() {
  require(descriptor_ >= 0, path_, ": committed twice");
  require(fsync(descriptor_) == 0, temporary_, ": cannot sync: ", reason());
  const int closed = close(descriptor_);
  descriptor_ = -1;
  require(closed == 0, temporary_, ": cannot close: ", reason());
  require(rename(temporary_.c_str(), path_.c_str()) == 0, path_, ": cannot replace: ", reason());
  temporary_.clear();
  sync_folder(folder_of(path_));
}

void write_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void create_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  require_usage(!error, path, ": cannot create the folder: ", error.message());
}

}  // namespace vergence
