#include "kernels/communicators/sockets.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "kernels/error.h"

namespace vergence::sockets {

namespace {

std::string reason(int error) { return std::strerror(error); }
bool later(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

void set(const Socket& socket, int level, int option, int value) {
  ::setsockopt(socket.id(), level, option, &value, sizeof value);
}

/// Small messages go out at once; a host that crashed is found even if nobody writes to it.
void prepare(const Socket& connection) {
  set(connection, IPPROTO_TCP, TCP_NODELAY, 1);
  set(connection, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(connection, IPPROTO_TCP, TCP_KEEPIDLE, 60);
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// The addresses of `host`, or none if the name service does not answer now.
Addresses resolve(const std::string& host, int port) {
  addrinfo wanted = {}, *found = nullptr;
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  const int status = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found);
  require(status == 0 || status == EAI_AGAIN, "rank 0's host '", host,
          "' has no address: ", status == EAI_SYSTEM ? reason(errno) : ::gai_strerror(status));
  return {status == 0 ? found : nullptr, &::freeaddrinfo};
}

Socket new_socket(int family) { return Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

/// Empty, with the reason in `why`, if this machine has no such address.
Socket listen_on(const sockaddr* address, socklen_t size, const std::string& where, std::string& why) {
  Socket socket = new_socket(address->sa_family);
  if (socket) {
    set(socket, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address->sa_family == AF_INET6) set(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (::bind(socket.id(), address, size) == 0 && ::listen(socket.id(), SOMAXCONN) == 0) return socket;
  }
  const int error = errno;
  require(error != EADDRINUSE, where,
          ": already in use; torchrun: --master-port, otherwise MASTER_PORT chooses another");
  why = reason(error);
  return {};
}

bool is_loopback(const std::string& address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

/// Whether a socket is connected with itself: the system may choose for its own end the port at which nobody listens.
bool is_own(const Socket& socket) {
  sockaddr_storage ends[2] = {};
  socklen_t sizes[2] = {sizeof ends[0], sizeof ends[1]};
  return ::getsockname(socket.id(), reinterpret_cast<sockaddr*>(&ends[0]), &sizes[0]) == 0 &&
         ::getpeername(socket.id(), reinterpret_cast<sockaddr*>(&ends[1]), &sizes[1]) == 0 && sizes[0] == sizes[1] &&
         std::memcmp(&ends[0], &ends[1], sizes[0]) == 0;
}

/// 0, or the error.
int connect_socket(const Socket& socket, const addrinfo& address, const Deadline& deadline) {
  constexpr double longest = 5;  // then another of the host's addresses, or again
  if (!socket) return errno;
  if (::connect(socket.id(), address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS && errno != EINTR) return errno;
  std::vector<pollfd> one = {{socket.id(), POLLOUT, 0}};
  if (!wait_for(one, Deadline(std::min(longest, deadline.left())))) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  return ::getsockopt(socket.id(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

/// Moves what can be moved now. False if the connection is closed.
bool advance(Flow& flow) {
  while (!flow.pieces.empty()) {
    Piece& piece = flow.pieces.front();
    if (piece.bytes > 0) {
      const std::int64_t moved = flow.leaves ? flow.socket->write_some(piece.data, piece.bytes)
                                             : flow.socket->read_some(piece.data, piece.bytes);
      if (moved <= 0) return moved == 0;
      piece = {static_cast<char*>(piece.data) + moved, piece.bytes - moved};
    }
    if (piece.bytes == 0) flow.pieces.erase(flow.pieces.begin());
  }
  return true;
}

/// What to watch. Who has sent all waits for an answer, so it should not close; who has received all may.
pollfd watched(const Flow& flow) {
  if (!flow.pieces.empty()) return {flow.socket->id(), static_cast<short>(flow.leaves ? POLLOUT | POLLIN : POLLIN), 0};
  return {flow.leaves ? -1 : flow.socket->id(), POLLRDHUP, 0};
}

}  // namespace

Socket::Socket(Socket&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(id_, other.id_);
  return *this;
}
Socket::~Socket() {
  if (id_ >= 0) ::close(id_);
}

std::int64_t Socket::read_some(void* to, std::int64_t most) const {
  const ssize_t got = ::recv(id_, to, static_cast<std::size_t>(most), 0);
  if (got > 0) return got;
  return got < 0 && later(errno) ? 0 : -1;
}

std::int64_t Socket::write_some(const void* from, std::int64_t most) const {
  const ssize_t gone = ::send(id_, from, static_cast<std::size_t>(most), MSG_NOSIGNAL);
  return gone >= 0 ? gone : later(errno) ? 0 : -1;
}

void Socket::end_writing() const { ::shutdown(id_, SHUT_WR); }

bool wait_for(std::vector<pollfd>& sockets, const Deadline& deadline) {
  constexpr double longest = 3600;  // poll's argument is an int
  for (;;) {
    const double left = std::clamp(deadline.left(), 0.0, longest);
    const int ready = ::poll(sockets.data(), sockets.size(), static_cast<int>(left * 1000) + (left > 0));
    if (ready > 0) return true;
    require(ready == 0 || errno == EINTR, "poll: ", reason(errno));
    if (ready == 0 && deadline.left() <= 0) return false;
  }
}

Socket listen_at(const std::string& address, int port) {
  const std::string where = join(address, ":", port);
  const Addresses found = resolve(address, port);
  std::string why = "the name service does not answer";
  if (is_loopback(address)) {
    for (const addrinfo* one = found.get(); one; one = one->ai_next)
      if (Socket socket = listen_on(one->ai_addr, one->ai_addrlen, where, why)) return socket;
  } else {
    sockaddr_in6 all = {};  // of IPv4 too
    all.sin6_family = AF_INET6;
    all.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (Socket socket = listen_on(reinterpret_cast<sockaddr*>(&all), sizeof all, where, why)) return socket;
    sockaddr_in all_v4 = {};  // a machine without IPv6
    all_v4.sin_family = AF_INET;
    all_v4.sin_port = all.sin6_port;
    if (Socket socket = listen_on(reinterpret_cast<sockaddr*>(&all_v4), sizeof all_v4, where, why)) return socket;
  }
  throw Error(join(where, ": cannot listen: ", why));
}

Socket accept_from(const Socket& listener) {
  Socket socket(::accept4(listener.id(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket) prepare(socket);
  return socket;
}

Socket connect_to(const std::string& address, int port, const Deadline& deadline, std::string& why) {
  const Addresses found = resolve(address, port);
  why = "the name service does not answer";
  for (const addrinfo* one = found.get(); one; one = one->ai_next) {
    Socket socket = new_socket(one->ai_family);
    const int error = connect_socket(socket, *one, deadline);
    why = reason(error ? error : ECONNREFUSED);
    if (error || is_own(socket)) continue;
    prepare(socket);
    return socket;
  }
  return {};
}

Outcome move(std::vector<Flow> flows, const Deadline& deadline) {
  std::vector<pollfd> sockets;
  for (Flow& flow : flows)
    if (!advance(flow)) return {Outcome::closed, flow.rank};
  while (std::any_of(flows.begin(), flows.end(), [](const Flow& flow) { return !flow.pieces.empty(); })) {
    sockets.clear();
    for (const Flow& flow : flows) sockets.push_back(watched(flow));
    if (!wait_for(sockets, deadline)) return {Outcome::silence};
    for (std::size_t i = 0; i < flows.size(); ++i) {
      Flow& flow = flows[i];
      const short events = sockets[i].revents;
      const bool unexpected = flow.leaves ? events & POLLIN : flow.pieces.empty() && events;
      if (unexpected || (events && !advance(flow))) return {Outcome::closed, flow.rank};
    }
  }
  return {};
}

}  // namespace vergence::sockets
