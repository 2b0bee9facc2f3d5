// Processes as ranks, connected by TCP, without MPI: for what torchrun or srun has started.
#pragma once

#include "kernels/communicator.h"
#include "kernels/communicators/launch.h"

namespace vergence {

/// All ranks are connected with rank 0, which listens at launch.address and launch.port; the others may start earlier.
/// Everything goes through rank 0, so this is for small messages: an NCCL id, errors, a signal to stop. A large array
/// takes rank 0 the time and memory of all ranks' arrays; sums have the bits of any HostCommunicator.
///
/// Returns when all ranks are connected. Throws Error if the port is in use, the address is unknown, nobody answers, or
/// rank 0 refuses this rank. A connection that is not of a rank of this program is closed, and disturbs nobody.
/// Each wait for other ranks takes at most `patience` seconds; a rank that has ended is noticed at once. Then the
/// collective throws Error on every rank. Peers are not authenticated: use it in a network that you trust.
std::unique_ptr<Communicator> tcp_communicator(const Launch& launch, double patience);

}  // namespace vergence
