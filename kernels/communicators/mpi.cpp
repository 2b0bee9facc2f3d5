#include "kernels/communicators/mpi.h"

#ifdef VERGENCE_MPI

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
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

/// Waits for the end of a message, at most `patience` seconds: at first awake, then in short naps, which leave the
/// processor to others. False if it has not ended.
bool completes(MPI_Request& request, double patience) {
  constexpr double awake = 2e-2;
  const auto began = Clock::now();
  for (;;) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "a message");
    if (done) return true;
    const double waited = std::chrono::duration<double>(Clock::now() - began).count();
    if (waited > patience) return false;
    if (waited < awake)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
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

class MpiCommunicator final : public HostCommunicator {
 public:
  MpiCommunicator(const MpiSettings& settings, bool& failed) : settings_(settings), failed_(failed) {
    check(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "a communicator");
    check(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "a communicator");
    check(MPI_Comm_rank(comm_, &rank_), "a communicator");
    check(MPI_Comm_size(comm_, &ranks_), "a communicator");
  }
  ~MpiCommunicator() override {
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

  /// Starts a message and waits for its end.
  template <class Start>
  void complete(const Start& start) {
    const bool failed_before = std::exchange(failed_, true);
    const auto who = [this] { return join("rank ", rank_, " of ", ranks_, ", ", current(), ": "); };
    try {
      MPI_Request request = MPI_REQUEST_NULL;
      check(start(&request), "a message");
      require(completes(request, settings_.patience), "waited ", settings_.patience, " s for the other ranks, in vain");
    } catch (const Error& error) {
      throw Error(who() + error.what());
    }
    failed_ = failed_before;
  }

  MpiSettings settings_;
  bool& failed_;
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, ranks_ = 1;
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
    if (completes(request, state_->patience)) MPI_Finalize();
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
