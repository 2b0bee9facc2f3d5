// What the ranks' connections need of POSIX sockets: waits that end, in calls that signals do not disturb.
#pragma once

#include <chrono>
#include <cstdint>
#include <poll.h>
#include <string>
#include <vector>

namespace vergence::sockets {

/// A moment, so many seconds from now.
class Deadline {
 public:
  explicit Deadline(double seconds) : began_(Clock::now()), seconds_(seconds) {}
  double left() const { return seconds_ - std::chrono::duration<double>(Clock::now() - began_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point began_;
  double seconds_;
};

/// Owns a socket that never blocks; empty at first.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int id) : id_(id) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  explicit operator bool() const { return id_ >= 0; }
  int id() const { return id_; }
  /// As many bytes as there are now, at most `most`: 0 if there are none yet, -1 if the connection is closed.
  std::int64_t read_some(void* to, std::int64_t most) const;
  /// As many bytes as go out now, or -1 alike.
  std::int64_t write_some(const void* from, std::int64_t most) const;
  /// Tells the other end that nothing more comes.
  void end_writing() const;

 private:
  int id_ = -1;
};

/// Waits until something happens to one of `sockets`, or the deadline. False at the deadline.
bool wait_for(std::vector<pollfd>& sockets, const Deadline& deadline);

/// Listens at `port`: at `address` if this is the machine's own (127.0.0.1, ::1, localhost), otherwise at all of the
/// machine's addresses, since its name may stand for only one of them. Throws Error if the port is in use, or if
/// nothing has that address.
Socket listen_at(const std::string& address, int port);
/// The next connection; empty if none waits.
Socket accept_from(const Socket& listener);
/// Tries once to connect. Empty, with the reason in `why`, if nobody answers. Throws Error if nothing has that address.
Socket connect_to(const std::string& address, int port, const Deadline& deadline, std::string& why);

struct Piece {
  void* data = nullptr;
  std::int64_t bytes = 0;
};

/// Bytes that leave through one connection, or arrive.
struct Flow {
  int rank = 0;  // at its other end
  const Socket* socket = nullptr;
  bool leaves = false;
  std::vector<Piece> pieces = {};  // what is left
};

struct Outcome {
  enum { moved, silence, closed } what = moved;
  int rank = 0;  // whose connection is closed, or sends what nobody expects
};

/// Moves all of them, in any order. A connection that closes is noticed even while others are awaited.
Outcome move(std::vector<Flow> flows, const Deadline& deadline);

}  // namespace vergence::sockets
