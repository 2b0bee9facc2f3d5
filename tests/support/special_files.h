// Devices and FIFOs of a test's own: never those in /dev, which a fault might replace.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace vergence {

constexpr unsigned null_device = 3, full_device = 7;  // Linux's minor numbers of /dev/null and /dev/full

/// Makes a device like /dev/null or /dev/full; false where this user or file system has none (a message for GTEST_SKIP:
/// `no_devices`).
inline bool make_device(const std::string& path, unsigned minor) {
  if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, minor)) != 0) return false;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor >= 0) ::close(descriptor);
  return descriptor >= 0;
}
constexpr const char* no_devices = "devices can be made by root alone, on file systems that have them";

inline void make_fifo(const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0666), 0) << path; }

/// What lies at `path` itself, S_IFREG and the like; 0 for nothing.
inline mode_t kind_at(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & S_IFMT : 0;
}

}  // namespace vergence
