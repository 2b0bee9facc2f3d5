// GPUs as ranks, with NCCL, which is loaded at first use. A build without it (VERGENCE_NCCL) has these functions too;
// they throw Error.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/communicator.h"

namespace vergence {

/// Loads NCCL. Throws Error if that fails.
void load_nccl();

/// By this the ranks of one communicator find each other: one rank makes it and gives it to all.
std::vector<std::uint8_t> make_nccl_id();

/// Rank `rank` of `ranks`, each a GPU. Returns when all ranks have called it with the same `id`. Collectives run on the
/// compute stream of `backend`, which must be a GPU and outlive the communicator; a recorded step contains them, and
/// every rank replays it. Sums between `begin_sum` and `finish_sums` run beside the compute stream. The host does not
/// wait, so a rank that never answers is noticed only by who waits for the results.
std::unique_ptr<Communicator> nccl_communicator(Backend& backend, int rank, int ranks,
                                                const std::vector<std::uint8_t>& id);

}  // namespace vergence
