// Things that may be where a file is expected: FIFOs, sockets, devices, links to nowhere.
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "kernels/error.h"

namespace vergence {

/// The kinds of such things.
inline const std::vector<std::string>& odd_kinds() {
  static const std::vector<std::string> kinds{"FIFO", "socket", "device", "circle", "broken link", "folder"};
  return kinds;
}

/// Replaces `path` by one of them.
inline void make_odd(const std::string& path, const std::string& kind) {
  std::filesystem::remove_all(path);
  if (kind == "FIFO") {
    require(::mkfifo(path.c_str(), 0666) == 0, path, ": cannot make a FIFO");
  } else if (kind == "socket") {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    require(path.size() < sizeof address.sun_path, path, ": too long for a socket");
    std::memcpy(address.sun_path, path.c_str(), path.size());
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(socket);
    require(bound, path, ": cannot make a socket");
  } else if (kind == "folder") {
    std::filesystem::create_directory(path);
  } else {
    std::filesystem::create_symlink(kind == "device"   ? "/dev/zero"
                                    : kind == "circle" ? std::filesystem::path(path).filename().string()
                                                       : "nowhere",
                                    path);
  }
}

}  // namespace vergence
