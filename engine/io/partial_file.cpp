#include "engine/io/partial_file.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/io/require_call.h"
#include "kernels/error.h"

namespace vergence {

PartialFile::PartialFile(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  check(descriptor_ >= 0, "cannot open");
  // Any other error means a file system without locks.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    throw UsageError(join(path, ": another process is writing this file"));
  }
}

PartialFile::~PartialFile() { ::close(descriptor_); }

std::int64_t PartialFile::size() const {
  struct stat status {};
  check(::fstat(descriptor_, &status) == 0, "cannot read");
  return status.st_size;
}

void PartialFile::resize(std::int64_t bytes) const { check(::ftruncate(descriptor_, bytes) == 0, "cannot write"); }

void PartialFile::sync() const { check(::fdatasync(descriptor_) == 0, "cannot write"); }

void PartialFile::write(const void* data, std::int64_t bytes, std::int64_t at) const {
  for (const auto* from = static_cast<const char*>(data); bytes > 0;) {
    const ssize_t put = ::pwrite(descriptor_, from, static_cast<std::size_t>(bytes), at);
    if (put < 0 && errno == EINTR) continue;
    check(put > 0, "cannot write");
    from += put, at += put, bytes -= put;
  }
}

bool PartialFile::read(void* data, std::int64_t bytes, std::int64_t at) const {
  for (auto* to = static_cast<char*>(data); bytes > 0;) {
    const ssize_t got = ::pread(descriptor_, to, static_cast<std::size_t>(bytes), at);
    if (got < 0 && errno == EINTR) continue;
    check(got >= 0, "cannot read");
    if (got == 0) return false;
    to += got, at += got, bytes -= got;
  }
  return true;
}

void PartialFile::check(bool good, const char* what) const { require_call(good, path_, what); }

}  // namespace vergence
