// Whole files at once, through POSIX descriptors, so that a sync reaches the disk.
#include "engine/io/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <limits>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "engine/io/destination.h"
#include "engine/io/require_call.h"

namespace vergence {
namespace {

std::string reason() { return std::strerror(errno); }

/// Reads a descriptor to its end; refuses more than `most` bytes. Closes the descriptor.
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

/// Creates `temporary` with the permissions of the file it will replace. If somebody else has a file of that name, such
/// as a process with the same id in another container, digits are added to it. What killed processes leave is removed
/// only from the folder of a run (remove_temporaries).
int open_beside(const std::string& path, const Destination& to, std::string& temporary) {
  const std::string first = temporary;
  int descriptor = -1;
  constexpr int most = 1000;
  for (int i = 0; i < most; ++i) {
    if (i > 0) temporary = first + std::to_string(i);
    descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, to.exists ? to.mode : 0666);
    if (descriptor >= 0 || errno != EEXIST) break;
  }
  if (descriptor < 0) {
    const int error = errno;
    const std::string folder = folder_of(to.path);
    require_usage(error != ENOENT && error != ENOTDIR, path, ": there is no folder ", folder);
    const std::string message = join(path, ": cannot create a file in ", folder, ": ", std::strerror(error));
    require(error != ENOSPC && error != EDQUOT, message);
    throw UsageError(message);
  }
  if (to.exists) {
    // Ignores failures: not every user may change a file's owner, and some file systems have no permissions.
    [[maybe_unused]] const int given = fchown(descriptor, to.user, to.group);
    fchmod(descriptor, to.mode);
  }
  return descriptor;
}

/// Opens a target that is written in place; changes nothing.
int open_itself(const std::string& path, const Destination& to) {
  if (to.way == Destination::Way::inherit) {
    const int descriptor = fcntl(to.descriptor, F_DUPFD_CLOEXEC, 3);
    require_call<UsageError>(descriptor >= 0, path, "cannot open");
    return descriptor;
  }
  // A FIFO could wait for a reader forever.
  const int descriptor = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  require_usage(descriptor >= 0 || errno != ENXIO || !to.is_fifo, path,
                ": is a FIFO that nobody reads, expected one whose reader has started");
  require_call<UsageError>(descriptor >= 0, path, "cannot open");
  fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
  return descriptor;
}

}  // namespace

int open_regular(const std::string& path, struct stat& status) {
  // O_NONBLOCK keeps open() from waiting for a FIFO's writer. For a regular file under a lease it makes open() fail
  // with EWOULDBLOCK: the second call then waits until the lease ends, seconds at most.
  int descriptor = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0 && errno == EWOULDBLOCK && stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode))
    descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const int error = errno;
  if (descriptor < 0) {  // a socket cannot be opened: the reason, ENXIO, would not help the user
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

bool file_exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
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
  require_call<UsageError>(fstat(descriptor_, &status) == 0, path_, "cannot be read");
  require_usage(status.st_nlink > 0, path_, ": has been replaced or removed since it was opened");
  require_usage(static_cast<std::size_t>(status.st_size) == size_ && status.st_mtim.tv_sec == seconds_ &&
                    status.st_mtim.tv_nsec == nanoseconds_ && status.st_mode == mode_,
                path_, ": has changed since it was opened (", size_, " bytes then, ", status.st_size, " now)");
}

void MappedFile::read(std::size_t offset, char* to, std::size_t count) const {
  check_unchanged();
  while (count > 0) {
    const ssize_t got = pread(descriptor_, to, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    require_call<UsageError>(got >= 0, path_, "cannot read");
    if (got == 0) check_unchanged();
    require_usage(got > 0, path_, ": ends at byte ", offset, " of ", size_);
    offset += static_cast<std::size_t>(got), to += got, count -= static_cast<std::size_t>(got);
  }
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const Destination to = destination_of(path_);
  target_ = to.path;
  rewrites_ = to.way == Destination::Way::rewrite;
  streams_ = !to.is_regular();
  // The process id separates two processes that write the same file.
  if (to.way == Destination::Way::replace) temporary_ = join(target_, ".tmp", getpid());
  descriptor_ = replaces() ? open_beside(path_, to, temporary_) : open_itself(path_, to);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::write(file, bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) {  // a descriptor that was already non-blocking when this process got it
      pollfd ready{file, POLLOUT, 0};
      poll(&ready, 1, -1);
      continue;
    }
    if (done < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

void AtomicFile::write(const void* data, std::int64_t bytes) {
  require(descriptor_ >= 0, path_, ": written after commit");
  if (streams_) std::fflush(stdout);  // it may be the same stream: earlier output must come first
  require_call(write_all(descriptor_, {static_cast<const char*>(data), static_cast<std::size_t>(bytes)}), path_,
               "cannot write");
}

void AtomicFile::commit() {
  require(descriptor_ >= 0, path_, ": committed twice");
  if (rewrites_) require_call(ftruncate(descriptor_, lseek(descriptor_, 0, SEEK_CUR)) == 0, path_, "cannot truncate");
  const bool synced = fsync(descriptor_) == 0;
  const bool has_no_sync = streams_ && (errno == EINVAL || errno == ENOTSUP || errno == EROFS);
  require_call(synced || has_no_sync, path_, "cannot sync");
  const int closed = close(descriptor_);
  descriptor_ = -1;
  require_call(closed == 0, path_, "cannot close");
  if (!replaces()) return;
  require_call(rename(temporary_.c_str(), target_.c_str()) == 0, path_, "cannot replace");
  temporary_.clear();
  sync_folder(folder_of(target_));
}

void write_atomically(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

ResultFile::ResultFile(std::string path) : path_(std::move(path)) {
  file_.emplace(path_);
  if (file_->replaces()) file_.reset();  // a file beside the target would remain if this process were killed
}

void ResultFile::write(std::string_view bytes) {
  if (!file_) file_.emplace(path_);
  file_->write(bytes);
  file_->commit();
}

std::string regular_destination(const std::string& path) {
  const Destination to = destination_of(path);
  require_usage(to.is_regular(), path, ": is not a regular file; expected one, or a new file name");
  const AtomicFile tried(path);
  return to.path;
}

void sync_folder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0 && errno == EACCES) return;  // a folder that can be written but not read
  require_call(descriptor >= 0, folder, "cannot open the folder");
  // Some file systems cannot sync a folder and return EINVAL; nothing better is possible there.
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  require(error == 0 || error == EINVAL, folder, ": cannot sync the folder: ", std::strerror(error));
}

void create_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(follow_links(path), error);
  require_usage(!error, path, ": cannot create the folder: ", error.message());
}

}  // namespace vergence
