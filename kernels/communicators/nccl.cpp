#include "kernels/communicators/nccl.h"

namespace vergence {

#ifdef VERGENCE_NCCL

namespace cuda {
// kernels/cuda/libraries/nccl_communicator.cpp
void load_nccl();
std::vector<std::uint8_t> make_nccl_id();
std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& id);
}  // namespace cuda

void load_nccl() { cuda::load_nccl(); }

std::vector<std::uint8_t> make_nccl_id() { return cuda::make_nccl_id(); }

std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& id) {
  return cuda::nccl_communicator(backend, rank, ranks, id);
}

#else

namespace {
constexpr const char* without_nccl = "NCCL: this program was built without it (VERGENCE_NCCL)";
}

void load_nccl() { throw Error(without_nccl); }

std::vector<std::uint8_t> make_nccl_id() { throw Error(without_nccl); }

std::unique_ptr<Communicator> nccl_communicator(Backend&, int, int, const std::vector<std::uint8_t>&) {
  throw Error(without_nccl);
}

#endif

}  // namespace vergence
