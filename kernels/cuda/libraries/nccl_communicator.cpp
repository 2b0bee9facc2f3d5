// Collectives among GPUs. They are work of the compute stream like any kernel, so nothing here waits, and a recording
// of the stream contains them.
//
// Sums that begin and finish run on a stream of their own, beside the compute stream: events make it wait for what was
// submitted before `begin_sum`, and the compute stream wait at `finish_sums`. A recording takes both streams: the first
// wait forks it, the last joins it. The memory pool gives freed blocks to later work of the compute stream and knows of
// no other stream, so the array must not be released in between, as communicator.h says.
//
// Collectives of one NCCL communicator run one after the other, on whatever streams: a batch norm's small sum would
// wait for a large one. So these sums have a second communicator, with an id of its own, as every version of NCCL can
// make it. Kernels of both may run at a time. For this NCCL requires that all ranks submit them in one order, as they
// do, and that a GPU has room for both: each takes a few dozen blocks at most, and none of our kernels waits for
// another. NCCL_LAUNCH_ORDER_IMPLICIT=1 makes NCCL 2.26 and later keep that order on the GPU too.
#include <array>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/libraries/nccl_library.h"

namespace vergence::cuda {

// Declared in kernels/communicators/nccl.cpp.
void load_nccl();
std::vector<std::uint8_t> make_nccl_id();
std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& id);

namespace {

void check(ncclResult_t status, const std::string& what, ncclComm_t comm = nullptr) {
  if (status == ncclSuccess) return;
  const char* more = nccl::library().last_error(comm);
  throw Error(
      join("NCCL: ", what, ": ", nccl::library().status_text(status), more && *more ? ": " : "", more ? more : ""));
}

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // clears it
  throw Error(join("NCCL: ", what, ": ", cudaGetErrorString(status)));
}

ncclDataType_t data_type(DType type) {
  switch (type) {
    case DType::f64:
      return ncclFloat64;
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
  }
  throw Error("NCCL: unknown type");
}

/// A stream beside another, between a fork and a join.
class SideStream {
 public:
  SideStream() {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
    check(cudaEventCreateWithFlags(&forked_, cudaEventDisableTiming), "event");
    check(cudaEventCreateWithFlags(&joined_, cudaEventDisableTiming), "event");
  }
  ~SideStream() {
    cudaEventDestroy(joined_);
    cudaEventDestroy(forked_);
    cudaStreamDestroy(stream_);
  }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  Stream get() const { return stream_; }
  /// What comes next here waits for what `main` has so far.
  void fork(Stream main) {
    check(cudaEventRecord(forked_, main), "event");
    check(cudaStreamWaitEvent(stream_, forked_, 0), "event");
  }
  /// What comes next on `main` waits for what this stream has so far.
  void join(Stream main) {
    check(cudaEventRecord(joined_, stream_), "event");
    check(cudaStreamWaitEvent(main, joined_, 0), "event");
  }

 private:
  Stream stream_ = nullptr;
  cudaEvent_t forked_ = nullptr, joined_ = nullptr;
};

/// One rank of an NCCL communicator.
class NcclRank {
 public:
  NcclRank(int rank, int ranks, const ncclUniqueId& id) {
    check(nccl::library().create(&comm_, ranks, id, rank), join("rank ", rank, " of ", ranks, " does not start"));
  }
  ~NcclRank() {
    // While an exception passes, the other ranks may not answer.
    if (aborting_.joinable())
      aborting_.join();
    else if (std::uncaught_exceptions() > 0)
      nccl::library().abort(comm_);
    else
      nccl::library().destroy(comm_);
  }
  NcclRank(const NcclRank&) = delete;
  NcclRank& operator=(const NcclRank&) = delete;

  ncclComm_t get() const { return comm_; }
  /// Ends kernels that wait for other ranks. NCCL's abort does this first, but returns only when no recording contains
  /// the communicator any more, and a recording's end waits for these kernels: so another thread aborts.
  void abandon() {
    if (!aborting_.joinable()) aborting_ = std::thread([comm = comm_] { nccl::library().abort(comm); });
  }

 private:
  ncclComm_t comm_ = nullptr;
  std::thread aborting_;
};

using Ids = std::array<ncclUniqueId, 2>;

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(CudaBackend& backend, int rank, int ranks, const Ids& ids)
      : backend_(backend), rank_(rank), ranks_(ranks), comm_(rank, ranks, ids[0]), sums_comm_(rank, ranks, ids[1]) {}

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

 private:
  void do_all_gather(Backend&, ConstArray x, Array out) override {
    const ncclComm_t comm = comm_.get();
    finish(nccl::library().all_gather(x.data, out.data, count(x), data_type(x.dtype), comm, stream()), comm);
  }
  void do_all_reduce(Backend&, ConstArray x, Array out) override { add(x, out, comm_.get(), stream()); }
  void do_broadcast(Backend&, Array x, int root) override {
    const ncclComm_t comm = comm_.get();
    finish(nccl::library().broadcast(x.data, x.data, count(x), data_type(x.dtype), root, comm, stream()), comm);
  }
  void do_begin_sum(Backend&, Array x) override {
    sums_.fork(stream());
    summing_ = true;
    add(x, x, sums_comm_.get(), sums_.get());
  }
  void do_finish_sums(Backend&) override {
    if (summing_) sums_.join(stream());
    summing_ = false;
  }

  void do_abandon() override {
    comm_.abandon();
    sums_comm_.abandon();
  }

  void add(ConstArray x, Array out, ncclComm_t comm, Stream stream) {
    finish(nccl::library().all_reduce(x.data, out.data, count(x), data_type(x.dtype), ncclSum, comm, stream), comm);
  }
  static std::size_t count(ConstArray x) { return static_cast<std::size_t>(x.size); }
  Stream stream() const { return backend_.device().stream(); }
  void finish(ncclResult_t status, ncclComm_t comm) {
    if (status != ncclSuccess) check(status, join("rank ", rank_, " of ", ranks_, ", ", current()), comm);
  }

  CudaBackend& backend_;
  int rank_, ranks_;
  SideStream sums_;
  NcclRank comm_, sums_comm_;
  bool summing_ = false;  // something of sums_ is not joined
};

}  // namespace

void load_nccl() { nccl::library(); }

std::vector<std::uint8_t> make_nccl_id() {
  Ids ids;
  for (ncclUniqueId& id : ids) check(nccl::library().unique_id(&id), "no id for a communicator");
  std::vector<std::uint8_t> bytes(sizeof ids);
  std::memcpy(bytes.data(), ids.data(), bytes.size());
  return bytes;
}

std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& bytes) {
  auto* gpu = dynamic_cast<CudaBackend*>(&backend);
  require(gpu != nullptr, "NCCL: its ranks are GPUs, not '", backend.name(), "'");
  require(rank >= 0 && rank < ranks, "NCCL: there is no rank ", rank, " among ", ranks);
  Ids ids;
  require(bytes.size() == sizeof ids, "NCCL: expected an id of ", sizeof ids, " bytes, got ", bytes.size());
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return std::make_unique<NcclCommunicator>(*gpu, rank, ranks, ids);
}

}  // namespace vergence::cuda
