// Collectives among GPUs. They are work of the compute stream like any kernel, so nothing here waits, and a recording
// of the stream contains them.
#include <cstring>
#include <exception>
#include <vector>

#include "kernels/communicator.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/libraries/nccl_library.h"

namespace vergence::cuda {

// Declared in kernels/communicators/nccl.cpp.
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

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(CudaBackend& backend, int rank, int ranks, const ncclUniqueId& id)
      : backend_(backend), rank_(rank), ranks_(ranks) {
    check(nccl::library().create(&comm_, ranks, id, rank), join("rank ", rank, " of ", ranks, " does not start"));
  }
  ~NcclCommunicator() override {
    // While an exception passes, the other ranks may not answer.
    if (std::uncaught_exceptions() > 0)
      nccl::library().abort(comm_);
    else
      nccl::library().destroy(comm_);
  }

  int rank() const override { return rank_; }
  int ranks() const override { return ranks_; }

 private:
  void do_all_gather(Backend&, ConstArray x, Array out) override {
    finish(nccl::library().all_gather(x.data, out.data, count(x), data_type(x.dtype), comm_, stream()));
  }
  void do_all_reduce(Backend&, ConstArray x, Array out) override {
    finish(nccl::library().all_reduce(x.data, out.data, count(x), data_type(x.dtype), ncclSum, comm_, stream()));
  }
  void do_broadcast(Backend&, Array x, int root) override {
    finish(nccl::library().broadcast(x.data, x.data, count(x), data_type(x.dtype), root, comm_, stream()));
  }

  static std::size_t count(ConstArray x) { return static_cast<std::size_t>(x.size); }
  Stream stream() const { return backend_.device().stream(); }
  void finish(ncclResult_t status) {
    if (status != ncclSuccess) check(status, join("rank ", rank_, " of ", ranks_, ", ", current()), comm_);
  }

  CudaBackend& backend_;
  ncclComm_t comm_ = nullptr;
  int rank_, ranks_;
};

}  // namespace

std::vector<std::uint8_t> make_nccl_id() {
  ncclUniqueId id;
  check(nccl::library().unique_id(&id), "no id for a communicator");
  std::vector<std::uint8_t> bytes(sizeof id.internal);
  std::memcpy(bytes.data(), id.internal, bytes.size());
  return bytes;
}

std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& bytes) {
  auto* gpu = dynamic_cast<CudaBackend*>(&backend);
  require(gpu != nullptr, "NCCL: its ranks are GPUs, not '", backend.name(), "'");
  require(rank >= 0 && rank < ranks, "NCCL: there is no rank ", rank, " among ", ranks);
  ncclUniqueId id;
  require(bytes.size() == sizeof id.internal, "NCCL: expected an id of ", sizeof id.internal, " bytes, got ",
          bytes.size());
  std::memcpy(id.internal, bytes.data(), bytes.size());
  return std::make_unique<NcclCommunicator>(*gpu, rank, ranks, id);
}

}  // namespace vergence::cuda
