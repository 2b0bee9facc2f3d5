// Devices and FIFOs that belong to a test. It never uses those in /dev, which a bug might replace.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace vergence {

constexpr unsigned null_device = 3, full_device = 7;  // Linux's minor numbers of /dev/null and /dev/full

/// Makes a device like /dev/null or /dev/full. Returns false if this user or file system cannot (`no_devices` is the
/// message for GTEST_SKIP).
inline bool make_device(const std::string& path, unsigned minor) {
  if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, minor)) != 0) return false;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor >= 0) ::close(descriptor);
  return descriptor >= 0;
}
constexpr const char* no_devices = "devices can be made by root alone, on file systems that have them";

inline void make_fifo(const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0666), 0) << path; }

/// The type of `path` itself, S_IFREG and the like; 0 if it does not exist.
inline mode_t kind_at(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & S_IFMT : 0;
}

}  // namespace vergence
