// Where a path that is to be written leads, and how that must be written.
#pragma once

#include <string>
#include <sys/types.h>

namespace vergence {

struct Destination {
  enum class Way {
    replace,  // a regular file, or nothing yet: another file takes its place
    rewrite,  // a regular file that cannot be replaced: it gets new contents
    stream,   // a character device or a FIFO: gets the bytes as they come
    inherit,  // a descriptor that this process has (/dev/stdout, /dev/fd/N): goes on from where it stands
  };
  Way way = Way::replace;
  std::string path;     // behind all symbolic links
  int descriptor = -1;  // Way::inherit: its number
  bool exists = false;  // the rest is known where it does
  bool is_fifo = false;
  mode_t mode = 0;  // permissions
  uid_t user = 0;
  gid_t group = 0;

  bool is_regular() const { return way == Way::replace || way == Way::rewrite; }
};

/// Looks without opening or changing anything. Throws UsageError naming the path for a folder, a socket, a block
/// device, links that lead in a circle, and files that may not be written. That a file can be made is not known yet.
Destination destination_of(const std::string& path);

/// The path behind the symbolic links that the last part of `path` is; they need not lead to anything. Links that lead
/// in a circle are followed for a while.
std::string follow_links(const std::string& path);

/// What is no regular file, in words: "a FIFO".
const char* kind_of(mode_t mode);

/// The folder that `path` is in.
std::string folder_of(const std::string& path);

}  // namespace vergence
