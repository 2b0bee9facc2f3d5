// Ranks as threads of one process: for tests, and for trying something out without MPI.
#pragma once

#include <functional>

#include "kernels/communicator.h"

namespace vergence {

/// Calls `body` once for each rank, rank 0 on the calling thread and the others on threads of their own. They take
/// turns: one runs at a time, until its next collective or its end, so that the ranks may share anything. A rank that
/// throws, or ends while others wait for it, makes the others' collectives throw. Throws what the first rank threw.
void run_ranks(int ranks, const std::function<void(Communicator&)>& body);

}  // namespace vergence
