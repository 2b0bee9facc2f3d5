// Whole files at once, in the way of POSIX: descriptors, so that a sync means the disk.
#include "engine/files.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
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

std::string read_file(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require_usage(descriptor >= 0, path, ": cannot open: ", reason());
  std::string bytes;
  std::error_code unknown;
  const auto expected = std::filesystem::file_size(path, unknown);
  if (!unknown) bytes.reserve(expected);
  try {
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
    }
  } catch (...) {
    close(descriptor);
    throw;
  }
  close(descriptor);
  return bytes;
}

MappedFile::MappedFile(const std::string& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  require_usage(descriptor_ >= 0, path, ": cannot open: ", reason());
  struct stat status {};
  const bool known = fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
  void* data = known ? mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_SHARED, descriptor_, 0)
                     : MAP_FAILED;
  if (data == MAP_FAILED) {
    const std::string why = known ? reason() : "it is empty, or not a file";
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
