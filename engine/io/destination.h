// Resolves a path to be written and decides how to write it.
#pragma once

#include <string>
#include <sys/types.h>

namespace vergence {

struct Destination {
  enum class Way {
    replace,  // a regular file, or nothing yet: replaced by another file
    rewrite,  // a regular file that cannot be replaced: its contents are overwritten
    stream,   // a character device or a FIFO: receives the bytes as they come
    inherit,  // a descriptor of this process (/dev/stdout, /dev/fd/N): continues at its position
  };
  Way way = Way::replace;
  std::string path;     // after following all symbolic links
  int descriptor = -1;  // Way::inherit: the descriptor's number
  bool exists = false;  // the fields below are known only if it exists
  bool is_fifo = false;
  mode_t mode = 0;  // permissions
  uid_t user = 0;
  gid_t group = 0;

  bool is_regular() const { return way == Way::replace || way == Way::rewrite; }
};

/// Looks without opening or changing anything. Throws UsageError naming the path for a folder, a socket, a block
/// device, a loop of links, or a file that may not be written. Does not check that a new file can be created.
Destination destination_of(const std::string& path);

/// Follows the symbolic links of the last part of `path`; the target need not exist. Stops after 40 links.
std::string follow_links(const std::string& path);

/// The kind of a file that is not regular, in words: "a FIFO".
const char* kind_of(mode_t mode);

/// The folder that `path` is in.
std::string folder_of(const std::string& path);

}  // namespace vergence
