#include "kernels/communicators/tcp.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/communicators/host.h"
#include "kernels/communicators/sockets.h"

namespace vergence {

namespace {

using sockets::Deadline;
using sockets::Flow;
using sockets::Outcome;
using sockets::Piece;
using sockets::Socket;
using Pieces = std::vector<Piece>;

/// Before all data, and alone for what the ranks tell one another. Its size and first two members never change, so that
/// programs of different versions understand that they differ.
struct Message {
  enum Kind : std::uint32_t { hello, welcome, data, failure };
  static constexpr std::uint64_t our_magic = 0x564552474e434531;  // in the order of this machine's bytes
  static constexpr std::uint32_t our_version = 1;

  std::uint64_t magic = our_magic;
  std::uint32_t version = our_version;
  Kind kind = data;
  std::int32_t rank = 0, ranks = 0;
  std::int64_t bytes = 0;  // that follow; nobody allocates what another asks for
  char text[224] = {};     // the collective, or what failed

  Message() = default;
  Message(Kind of_kind, const std::string& what, std::int64_t bytes_that_follow = 0)
      : kind(of_kind), bytes(bytes_that_follow) {
    std::memcpy(text, what.data(), std::min(what.size(), sizeof text - 1));
  }

  bool is_ours() const { return magic == our_magic && version == our_version; }
  /// What another rank wrote, as one line.
  std::string what() const {
    std::string line(text, ::strnlen(text, sizeof text));
    std::replace_if(
        line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
    return line;
  }
  Piece whole() { return {this, sizeof *this}; }
};
static_assert(sizeof(Message) == 256 && std::is_trivially_copyable_v<Message>);

std::int64_t size_of(const Pieces& pieces) {
  std::int64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.bytes;
  return bytes;
}

/// Sends what fits into an empty connection: the other end may be about to leave.
void tell(const Socket& link, const Message& message) { link.write_some(&message, sizeof message); }

std::string in_vain(double patience, const std::string& whom = "the other ranks") {
  return join("waited ", patience, " s for ", whom, ", without an answer");
}

/// So many seconds longer the other ranks wait for rank 0, which knows who is missing and tells them.
constexpr double grace = 0.5;

/// Rank 0 while it waits for the others. Strangers are let go.
class Reception {
 public:
  Reception(const Launch& launch, double patience)
      : launch_(launch),
        patience_(patience),
        listener_(sockets::listen_at(launch.address, launch.port)),
        links_(static_cast<std::size_t>(launch.ranks)),
        missing_(launch.ranks - 1) {}

  /// The other ranks' connections, at their ranks.
  std::vector<Socket> links() {
    try {
      await();
    } catch (const Error& error) {
      tell_all({Message::failure, error.what()});
      throw;
    }
    tell_all({Message::welcome, ""});
    return std::move(links_);
  }

 private:
  struct Guest {
    Socket socket;
    Message hello = {};
    std::int64_t got = 0;
  };

  void await() {
    const Deadline deadline(patience_);
    while (missing_ > 0) {
      std::vector<pollfd> events = {{listener_.id(), POLLIN, 0}};
      for (const Socket& link : links_) events.push_back({link.id(), POLLRDHUP, 0});
      for (const Guest& guest : guests_) events.push_back({guest.socket.id(), POLLIN, 0});
      if (!sockets::wait_for(events, deadline)) throw Error(in_vain(patience_, absent()) + refused_);
      for (std::size_t r = 1; r < links_.size(); ++r)
        require(events[1 + r].revents == 0, "rank ", r, " of ", launch_.ranks, " is gone");
      while (Socket socket = sockets::accept_from(listener_)) guests_.push_back({std::move(socket)});
      guests_.remove_if([this](Guest& guest) { return !stays(guest); });  // also new ones, before any must make room
      while (guests_.size() > most_guests) guests_.pop_front();
    }
  }

  /// Whether a guest has yet to say all; otherwise it has become a rank, or must go.
  bool stays(Guest& guest) {
    constexpr std::int64_t head = offsetof(Message, kind), whole = sizeof(Message);
    const std::int64_t more =
        guest.socket.read_some(reinterpret_cast<char*>(&guest.hello) + guest.got, whole - guest.got);
    if (more < 0) return false;
    guest.got += more;
    const Message ours;
    const auto known = static_cast<std::size_t>(std::min<std::int64_t>(guest.got, sizeof ours.magic));
    if (std::memcmp(&guest.hello, &ours, known) != 0) return false;
    const bool other_version = guest.got >= head && guest.hello.version != ours.version;
    if (guest.got < whole && !other_version) return true;
    if (const std::string why = complaint(guest.hello); !why.empty())
      refuse(guest, why);
    else
      admit(guest);
    return false;
  }

  std::string complaint(const Message& hello) const {
    if (!hello.is_ours())
      return join("its program exchanges messages of version ", hello.version, ", rank 0's of ", Message::our_version);
    if (hello.kind != Message::hello) return "it does not introduce itself";
    if (hello.ranks != launch_.ranks) return join("it expects ", hello.ranks, " ranks, rank 0 ", launch_.ranks);
    if (hello.rank < 1 || hello.rank >= launch_.ranks) return "there is no such rank, or two are rank 0";
    if (links_[static_cast<std::size_t>(hello.rank)]) return "another process has that rank";
    return "";
  }

  void refuse(const Guest& guest, const std::string& why) {
    tell(guest.socket, {Message::failure, join("rank 0 refuses rank ", guest.hello.rank, ": ", why)});
    refused_ = join("; refused rank ", guest.hello.rank, ": ", why);
  }

  void admit(Guest& guest) {
    links_[static_cast<std::size_t>(guest.hello.rank)] = std::move(guest.socket);
    --missing_;
  }

  std::string absent() const {
    std::string names;
    for (std::size_t r = 1; r < links_.size(); ++r)
      if (!links_[r]) names += join(names.empty() ? "" : ", ", r);
    return join(missing_ == 1 ? "rank " : "ranks ", names, " at ", launch_.address, ":", launch_.port);
  }

  void tell_all(const Message& message) const {
    for (const Socket& link : links_)
      if (link) tell(link, message);
  }

  static constexpr std::size_t most_guests = 256;
  const Launch& launch_;
  double patience_;
  Socket listener_;
  std::vector<Socket> links_;
  std::list<Guest> guests_;
  int missing_;
  std::string refused_;
};

/// Another rank's connection with rank 0.
Socket join_rank_0(const Launch& launch, double patience) {
  const std::string where = join(launch.address, ":", launch.port);
  const Deadline deadline(patience);
  std::string why;
  Socket link = sockets::connect_to(launch.address, launch.port, deadline, why);
  while (!link) {
    require(deadline.left() > 0, "nobody answers at ", where, ": ", why, " (waited ", patience, " s)");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    link = sockets::connect_to(launch.address, launch.port, deadline, why);
  }
  Message message(Message::hello, "");
  message.rank = launch.rank, message.ranks = launch.ranks;
  tell(link, message);
  const Outcome outcome = sockets::move({{.socket = &link, .pieces = {message.whole()}}}, Deadline(patience + grace));
  require(outcome.what != Outcome::silence, in_vain(patience));
  require(outcome.what == Outcome::moved, where, " closed the connection: rank 0 is gone, or it is another program");
  require(message.magic == Message::our_magic, "another program listens at ", where);
  require(message.kind == Message::welcome, message.what());
  return link;
}

class TcpCommunicator final : public HostCommunicator {
 public:
  TcpCommunicator(const Launch& launch, double patience)
      : rank_(launch.rank), ranks_(launch.ranks), patience_(patience) {
    try {
      if (rank_ == 0)
        links_ = Reception(launch, patience).links();
      else
        links_.push_back(join_rank_0(launch, patience));
    } catch (const Error& error) {
      throw Error(join("rank ", rank_, " of ", ranks_, ": ", error.what()));
    }
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

 private:
  void gather(const void* part, void* whole, std::int64_t bytes) override {
    const Piece all = {whole, ranks_ * bytes}, own = at(part, 0, bytes);
    if (rank_ == 0) {
      if (whole != part) std::memcpy(whole, part, static_cast<std::size_t>(bytes));
      serve([&](int r) { return Pieces{at(whole, r, bytes)}; }, [&](int) { return Pieces{all}; });
    } else {
      ask({own}, {all});
    }
  }

  void exchange(const void* from, void* to, std::int64_t bytes) override {
    if (rank_ != 0) return ask({at(from, 0, ranks_ * bytes)}, {at(to, 0, ranks_ * bytes)});
    const auto row = static_cast<std::size_t>(ranks_ * bytes);
    std::vector<std::byte> all(static_cast<std::size_t>(ranks_) * row);  // [from rank][to rank]
    std::memcpy(all.data(), from, row);
    const auto column = [&](int r) {
      Pieces pieces;
      for (std::int64_t q = 0; q < ranks_; ++q) pieces.push_back(at(all.data(), q * ranks_ + r, bytes));
      return pieces;
    };
    serve([&](int r) { return Pieces{at(all.data(), r, ranks_ * bytes)}; }, column);
    char* own = static_cast<char*>(to);
    for (const Piece& piece : column(0)) {
      std::memcpy(own, piece.data, static_cast<std::size_t>(bytes));
      own += bytes;
    }
  }

  void spread(void* x, std::int64_t bytes, int root) override {
    const Pieces all = {{x, bytes}};
    if (rank_ == 0)
      serve([&](int r) { return r == root ? all : Pieces{}; }, [&](int r) { return r == root ? Pieces{} : all; });
    else
      ask(rank_ == root ? all : Pieces{}, rank_ == root ? Pieces{} : all);
  }

  static Piece at(const void* data, std::int64_t part, std::int64_t bytes) {
    return {static_cast<char*>(const_cast<void*>(data)) + part * bytes, bytes};
  }

  /// Rank 0's part of a collective: takes `from(r)` of each other rank r, then gives it `to(r)`.
  template <class From, class To>
  void serve(const From& from, const To& to) {
    bool may_tell = true;  // not in the midst of data
    try {
      std::vector<Message> messages(static_cast<std::size_t>(ranks_));
      const auto message = [&](int r) -> Message& { return messages[static_cast<std::size_t>(r)]; };
      move_all(false, [&](int r) { return Pieces{message(r).whole()}; });
      for (int r = 1; r < ranks_; ++r) check(message(r), r, size_of(from(r)));
      move_all(false, from);
      may_tell = false;
      move_all(true, [&](int r) {
        message(r) = Message(Message::data, current(), size_of(to(r)));
        Pieces pieces = to(r);
        pieces.insert(pieces.begin(), message(r).whole());
        return pieces;
      });
    } catch (const Error& error) {
      fail(error.what(), may_tell);
    }
  }

  /// The same of another rank: gives `from` to rank 0, then takes `to`.
  void ask(Pieces from, const Pieces& to) {
    try {
      Message message(Message::data, current(), size_of(from));
      from.insert(from.begin(), message.whole());
      if (move_one(true, std::move(from)).what == Outcome::closed) told_or_gone();
      Message answer;
      if (move_one(false, {answer.whole()}).what == Outcome::closed) told_or_gone();
      check(answer, 0, size_of(to));
      if (move_one(false, to).what == Outcome::closed) told_or_gone();
    } catch (const Error& error) {
      fail(error.what(), false);
    }
  }

  template <class Of>
  void move_all(bool leaves, const Of& pieces) const {
    std::vector<Flow> flows;
    for (int r = 1; r < ranks_; ++r) flows.push_back({r, &links_[static_cast<std::size_t>(r)], leaves, pieces(r)});
    const Outcome outcome = sockets::move(std::move(flows), Deadline(patience_));
    require(outcome.what != Outcome::silence, in_vain(patience_));
    require(outcome.what == Outcome::moved, "rank ", outcome.rank, " of ", ranks_, " is gone");
  }

  Outcome move_one(bool leaves, Pieces pieces) const {
    const Outcome outcome = sockets::move({{0, &links_[0], leaves, std::move(pieces)}}, Deadline(patience_ + grace));
    require(outcome.what != Outcome::silence, in_vain(patience_));
    return outcome;
  }

  /// Throws rank 0's last words, if there are some.
  [[noreturn]] void told_or_gone() const {
    Message last;
    if (links_[0].read_some(&last, sizeof last) == sizeof last && last.is_ours() && last.kind == Message::failure)
      throw Error(last.what());
    throw Error(join("rank 0 of ", ranks_, " is gone"));
  }

  /// Both ends must be at the same collective.
  void check(const Message& message, int rank, std::int64_t bytes) const {
    require(message.is_ours(), "rank ", rank, " sends what is no message");
    require(message.kind != Message::failure, message.what());
    const std::string ours = Message(Message::data, current()).what();
    require(message.kind == Message::data && message.what() == ours && message.bytes == bytes, "rank ", rank_,
            " is at ", ours, ", rank ", rank, " at ", message.what());
  }

  [[noreturn]] void fail(const std::string& what, bool tell_others) const {
    for (const Socket& link : links_) {
      if (!link) continue;
      if (tell_others) tell(link, {Message::failure, what});
      link.end_writing();
    }
    throw Error(join("rank ", rank_, " of ", ranks_, ", ", current(), ": ", what));
  }

  int rank_, ranks_;
  double patience_;
  std::vector<Socket> links_;  // rank 0: of all ranks; others: of rank 0
};

}  // namespace

std::unique_ptr<Communicator> tcp_communicator(const Launch& launch, double patience) {
  require(launch.ranks >= 1 && launch.rank >= 0 && launch.rank < launch.ranks, "TCP: there is no rank ", launch.rank,
          " among ", launch.ranks);
  if (launch.ranks == 1) return single_communicator();
  require(!launch.address.empty() && launch.port > 0, "TCP: expected the host and port of rank 0");
  return std::make_unique<TcpCommunicator>(launch, patience);
}

}  // namespace vergence
