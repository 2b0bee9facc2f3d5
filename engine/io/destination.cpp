// Follows links one by one: a new file is created in the target's folder. A descriptor named in /proc is used as it is,
// so that writing continues at its position: open() would write from the start.
#include "engine/io/destination.h"

#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "engine/io/require_call.h"
#include "engine/text/words.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr int max_links = 40;  // the system's own limit

/// The N of /proc/self/fd/N under any of its names, -1 for other paths.
int descriptor_named(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::optional<int> number = number_of<int>(name);
  if (!number) return -1;
  std::error_code error;
  const std::string folder = fs::canonical(folder_of(path.string()), error).string();
  const std::string process = fs::canonical("/proc/self", error).string();
  return !error && folder.starts_with(process + "/") && folder.ends_with("/fd") ? *number : -1;
}

/// True if the file may be written but rename() onto it would fail: a mount point, as in a container, or another user's
/// file in a folder like /tmp.
bool only_rewritable(const std::string& path, const struct stat& file) {
#ifdef STATX_ATTR_MOUNT_ROOT
  struct statx more {};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_TYPE, &more) == 0 && (more.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0)
    return true;
#endif
  struct stat folder {};
  if (::stat(folder_of(path).c_str(), &folder) != 0 || (folder.st_mode & S_ISVTX) == 0) return false;
  const uid_t user = ::geteuid();
  return user != 0 && user != file.st_uid && user != folder.st_uid;
}

Destination inherited(const std::string& path, int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  require_call<UsageError>(flags >= 0, path, "is not open");
  require_usage((flags & O_ACCMODE) != O_RDONLY, path, ": is open only for reading, expected one open for writing");
  Destination to;
  to.way = Destination::Way::inherit;
  to.path = path;
  to.descriptor = descriptor;
  return to;
}

}  // namespace

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a device";
  if (S_ISBLK(mode)) return "a block device";
  return "a file of an unknown kind";
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string follow_links(const std::string& path) {
  fs::path at = path;
  for (int links = 0; links < max_links && descriptor_named(at) < 0; ++links) {
    std::error_code error;
    const fs::path target = fs::read_symlink(at, error);
    if (error) break;  // not a link
    at = target.is_absolute() ? target : at.parent_path() / target;
  }
  return at.string();
}

Destination destination_of(const std::string& path) {
  require_usage(!path.empty(), "expected the name of a file, got ''");
  Destination to;
  to.path = follow_links(path);
  if (const int descriptor = descriptor_named(to.path); descriptor >= 0) return inherited(path, descriptor);
  struct stat status {};
  to.exists = ::stat(path.c_str(), &status) == 0;
  if (!to.exists) {
    require_call<UsageError>(errno == ENOENT || errno == ENOTDIR, path, "cannot be written");
    require_usage(path.back() != '/', path, ": names a folder, expected a file");
    return to;
  }
  const mode_t kind = status.st_mode & S_IFMT;
  require_usage(kind == S_IFREG || kind == S_IFCHR || kind == S_IFIFO, path, ": is ", kind_of(kind),
                ", expected a file");
  require_call<UsageError>(::access(path.c_str(), W_OK) == 0, path, "cannot be written");
  to.is_fifo = kind == S_IFIFO;
  to.mode = status.st_mode & 0777;
  to.user = status.st_uid;
  to.group = status.st_gid;
  if (kind != S_IFREG)
    to.way = Destination::Way::stream;
  else if (only_rewritable(to.path, status))
    to.way = Destination::Way::rewrite;
  return to;
}

}  // namespace vergence
