#include "tests/support/watched_syncs.h"

#include <filesystem>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

namespace vergence {
namespace {

std::function<void(const std::string& path)> sync_watch;

void tell_sync(int descriptor) {
  if (sync_watch) sync_watch(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor)).string());
}

}  // namespace

WatchedSyncs::WatchedSyncs(std::function<void(const std::string& path)> watch) { sync_watch = std::move(watch); }
WatchedSyncs::~WatchedSyncs() { sync_watch = nullptr; }

}  // namespace vergence

// In place of the C library's.

extern "C" int fsync(int descriptor) {
  vergence::tell_sync(descriptor);
  return static_cast<int>(::syscall(SYS_fsync, descriptor));
}

extern "C" int fdatasync(int descriptor) {
  vergence::tell_sync(descriptor);
  return static_cast<int>(::syscall(SYS_fdatasync, descriptor));
}
