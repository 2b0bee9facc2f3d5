#include "kernels/communicators/mpi.h"

#ifdef VERGENCE_MPI

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <list>
#include <memory>
#include <mpi.h>
#include <thread>
#include <utility>

#include "kernels/communicators/host.h"

namespace vergence {

namespace {

using Clock = std::chrono::steady_clock;

void check(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(status, text, &length) != MPI_SUCCESS) length = 0;
  throw Error(join("MPI: ", what, ": ", std::string(text, static_cast<std::size_t>(length))));
}

/// Waits until `ended`, at most `patience` seconds: at first awake, then in short naps, which leave the processor to
/// others. False if it has not ended by then.
template <class Ended>
bool wait_until(const Ended& ended, double patience) {
  constexpr double awake = 2e-2;
  const auto began = Clock::now();
  for (;;) {
    if (ended()) return true;
    const double waited = std::chrono::duration<double>(Clock::now() - began).count();
    if (waited > patience) return false;
    if (waited < awake)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

bool has_ended(MPI_Request& request) {
  int ended = 0;
  check(MPI_Test(&request, &ended, MPI_STATUS_IGNORE), "a message");
  return ended != 0;
}

/// `count` bytes of each rank, `stride` bytes apart, as the type of one element per rank.
class SpacedType {
 public:
  SpacedType(std::int64_t count, std::int64_t stride) {
    MPI_Datatype bytes;
    check(MPI_Type_contiguous(static_cast<int>(count), MPI_BYTE, &bytes), "a message's type");
    const int status = MPI_Type_create_resized(bytes, 0, static_cast<MPI_Aint>(stride), &type_);
    MPI_Type_free(&bytes);
    check(status, "a message's type");
    check(MPI_Type_commit(&type_), "a message's type");
  }
  SpacedType(const SpacedType&) = delete;
  SpacedType& operator=(const SpacedType&) = delete;
  ~SpacedType() { MPI_Type_free(&type_); }
  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

/// From the CPU backend's pool: the system's fresh pages would take longer than the messages.
std::shared_ptr<std::byte> pooled(std::int64_t bytes) {
  return {static_cast<std::byte*>(cpu_backend().allocate(bytes)),
          [bytes](std::byte* block) { cpu_backend().release(block, bytes); }};
}

/// A sum under way, in two rounds of messages. First each rank gets the others' values of its shard, and adds them in
/// rank order; then it sends the sum to all. The rounds of several sums may come in another order on every rank: these
/// are messages between two ranks, each sum with its own tag, and no collectives.
class SumUnderWay {
 public:
  SumUnderWay(std::string what, Backend& backend, Array x, MPI_Comm comm, int tag)
      : what_(std::move(what)), x_(x), host_(backend, x), comm_(comm), tag_(tag) {
    check(MPI_Comm_rank(comm_, &rank_), "a communicator");
    check(MPI_Comm_size(comm_, &ranks_), "a communicator");
    host_.read();
    send_shards();
  }

  const std::string& what() const { return what_; }

  /// Goes on if messages have come. True once the sum is there.
  bool has_ended() {
    while (!ended_) {
      int all = 0;
      check(MPI_Testall(static_cast<int>(messages_.size()), messages_.data(), &all, MPI_STATUSES_IGNORE), "a message");
      if (!all) return false;
      messages_.clear();
      if (parts_) {
        share_sum();
      } else {
        host_.write();
        ended_ = true;
      }
    }
    return true;
  }

 private:
  std::int64_t first(int rank) const { return x_.size * rank / ranks_; }
  std::int64_t size(int rank) const { return first(rank + 1) - first(rank); }
  int bytes(int rank) const { return static_cast<int>(size(rank) * size_of(x_.dtype)); }
  char* shard(int rank) { return static_cast<char*>(host_.data()) + first(rank) * size_of(x_.dtype); }

  void send_shards() {
    const std::int64_t own = bytes(rank_);
    parts_ = pooled(ranks_ * own);
    const auto part = [&](int rank) { return parts_.get() + rank * own; };
    std::memcpy(part(rank_), shard(rank_), static_cast<std::size_t>(own));
    for_others([&](int rank) { receive(part(rank), bytes(rank_), rank); });
    for_others([&](int rank) { send(shard(rank), bytes(rank), rank); });
  }
  void share_sum() {
    const std::int64_t own = size(rank_);
    if (own > 0) add_parts({parts_.get(), ranks_ * own, x_.dtype}, {shard(rank_), own, x_.dtype});
    parts_ = nullptr;
    for_others([&](int rank) { receive(shard(rank), bytes(rank), rank); });
    for_others([&](int rank) { send(shard(rank_), bytes(rank_), rank); });
  }

  /// Each rank starts with the one after it, so that not all send to the same.
  template <class Call>
  void for_others(const Call& call) {
    for (int step = 1; step < ranks_; ++step) call((rank_ + step) % ranks_);
  }
  void receive(void* to, int bytes, int rank) {
    check(MPI_Irecv(to, bytes, MPI_BYTE, rank, tag_, comm_, &messages_.emplace_back(MPI_REQUEST_NULL)), "a message");
  }
  void send(const void* from, int bytes, int rank) {
    check(MPI_Isend(from, bytes, MPI_BYTE, rank, tag_, comm_, &messages_.emplace_back(MPI_REQUEST_NULL)), "a message");
  }

  std::string what_;
  Array x_;
  HostCopy host_;
  MPI_Comm comm_;
  int tag_, rank_ = 0, ranks_ = 1;
  std::shared_ptr<std::byte> parts_;  // in the first round: this rank's shard of each rank's x
  std::vector<MPI_Request> messages_;
  bool ended_ = false;
};

class MpiCommunicator final : public HostCommunicator {
 public:
  MpiCommunicator(const MpiSettings& settings, bool& failed) : settings_(settings), failed_(failed) {
    check(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "a communicator");
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "a communicator");
    check(MPI_Comm_rank(comm_, &rank_), "a communicator");
    check(MPI_Comm_size(comm_, &ranks_), "a communicator");
  }
  ~MpiCommunicator() override {
    if (!sums_.empty()) failed_ = true;  // MPI cannot take them back
    if (!failed_ && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

 private:
  void gather(const void* part, void* whole, std::int64_t bytes) override {
    for (std::int64_t at = 0; at < bytes; at += settings_.most_bytes) {
      const std::int64_t count = std::min(settings_.most_bytes, bytes - at);
      const void* from = static_cast<const char*>(part) + at;
      void* to = static_cast<char*>(whole) + at;
      const int bytes_sent = static_cast<int>(count);
      if (count == bytes) {
        complete([&](MPI_Request* request) {
          return MPI_Iallgather(from, bytes_sent, MPI_BYTE, to, bytes_sent, MPI_BYTE, comm_, request);
        });
      } else {
        const SpacedType spaced(count, bytes);
        complete([&](MPI_Request* request) {
          return MPI_Iallgather(from, bytes_sent, MPI_BYTE, to, 1, spaced.get(), comm_, request);
        });
      }
    }
  }

  void exchange(const void* from, void* to, std::int64_t bytes) override {
    const int count = static_cast<int>(bytes);  // a shard: small
    complete([&](MPI_Request* request) {
      return MPI_Ialltoall(from, count, MPI_BYTE, to, count, MPI_BYTE, comm_, request);
    });
  }

  void spread(void* x, std::int64_t bytes, int root) override {
    for (std::int64_t at = 0; at < bytes; at += settings_.most_bytes) {
      const int count = static_cast<int>(std::min(settings_.most_bytes, bytes - at));
      complete([&](MPI_Request* request) {
        return MPI_Ibcast(static_cast<char*>(x) + at, count, MPI_BYTE, root, comm_, request);
      });
    }
  }

  /// A large one in pieces, whose shards are messages of at most `most_bytes`.
  void do_begin_sum(Backend& backend, Array x) override {
    const std::int64_t width = size_of(x.dtype);
    const std::int64_t most = std::max<std::int64_t>(settings_.most_bytes / width, 1) * ranks_;
    guarded([this] { return current(); },
            [&] {
              advance_sums();
              for (std::int64_t at = 0; at < x.size; at += most) {
                const Array piece{static_cast<char*>(x.data) + at * width, std::min(most, x.size - at), x.dtype};
                sums_.emplace_back(current(), backend, piece, comm_, next_tag());
              }
            });
  }

  void do_finish_sums(Backend&) override {
    while (!sums_.empty()) {
      const std::size_t before = sums_.size();
      guarded([what = sums_.front().what()] { return what; },
              [&] {
                wait_for([&] {
                  advance_sums();
                  return sums_.size() < before;
                });
              });
    }
  }

  void advance_sums() {
    for (auto at = sums_.begin(); at != sums_.end();) at = at->has_ended() ? sums_.erase(at) : std::next(at);
  }
  /// MPI allows tags up to 32767; no two sums under way may have the same.
  int next_tag() { return static_cast<int>(next_sum_++ % 32768); }

  /// Starts a message and waits for its end. Meanwhile the sums under way go on.
  template <class Start>
  void complete(const Start& start) {
    guarded([this] { return current(); },
            [&] {
              MPI_Request request = MPI_REQUEST_NULL;
              check(start(&request), "a message");
              wait_for([&] {
                advance_sums();
                return has_ended(request);
              });
            });
  }

  template <class Ended>
  void wait_for(const Ended& ended) {
    require(wait_until(ended, settings_.patience), "waited ", settings_.patience,
            " s for the other ranks, without an answer");
  }

  /// Does `work`, and adds `what()` it was to its error.
  template <class What, class Work>
  void guarded(const What& what, const Work& work) {
    const bool failed_before = std::exchange(failed_, true);
    try {
      work();
    } catch (const Error& error) {
      throw Error(join("rank ", rank_, " of ", ranks_, ", ", what(), ": ", error.what()));
    }
    failed_ = failed_before;
  }

  MpiSettings settings_;
  bool& failed_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 1;
  std::list<SumUnderWay> sums_;
  std::uint32_t next_sum_ = 0;
};

}  // namespace

struct MpiProcess::State {
  bool failed = false;
  double patience = 0;  // of the last communicator
  int exceptions = std::uncaught_exceptions();
};

bool launched_by_mpi(const Environment& variable) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
    if (variable(name)) return true;
  return false;
}

MpiProcess::MpiProcess() : state_(std::make_unique<State>()) {
  require(launched_by_mpi(), "MPI: this process was not started by mpirun");
  int before = 0, after = 0, provided = 0;
  check(MPI_Initialized(&before), "start");
  check(MPI_Finalized(&after), "start");
  require(!before && !after, "MPI: it can be started only once in a process");
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "start");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "start");
  require(provided >= MPI_THREAD_SERIALIZED, "MPI: this one does not work with threads");
}

MpiProcess::~MpiProcess() {
  if (state_->failed || std::uncaught_exceptions() > state_->exceptions) return;
  try {  // MPI's own end would wait for the others without patience
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Ibarrier(MPI_COMM_WORLD, &request), "end");
    if (wait_until([&] { return has_ended(request); }, state_->patience)) MPI_Finalize();
  } catch (const Error&) {  // the other processes are no longer there: nothing is left to end together
  }
}

std::unique_ptr<Communicator> MpiProcess::communicator(const MpiSettings& settings) {
  require(settings.most_bytes >= 1 && settings.most_bytes <= std::int64_t{1} << 30, "MPI: messages of ",
          settings.most_bytes, " bytes: expected 1 to 2^30");
  state_->patience = settings.patience;
  return std::make_unique<MpiCommunicator>(settings, state_->failed);
}

}  // namespace vergence

#else

#include <cstdlib>

namespace vergence {

struct MpiProcess::State {};

bool launched_by_mpi(const Environment& variable) {
  // A launcher's only process needs no MPI.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"})
    if (const char* processes = variable(name); processes && std::atoi(processes) > 1) return true;
  return false;
}

MpiProcess::MpiProcess() { throw Error("MPI: this program was built without it: build it with VERGENCE_MPI=ON"); }
MpiProcess::~MpiProcess() = default;
std::unique_ptr<Communicator> MpiProcess::communicator(const MpiSettings&) { return nullptr; }

}  // namespace vergence

#endif
