// The processes of a test that mpirun starts.
#pragma once

#include "kernels/communicators/mpi.h"

namespace vergence::test {

MpiProcess& process();
/// All processes.
Communicator& world();

}  // namespace vergence::test
