// Processes as ranks, with MPI: `mpirun -n 4 PROGRAM`. A build without MPI has these functions too, but an MpiProcess
// does not start there.
#pragma once

#include "kernels/communicator.h"
#include "kernels/communicators/launch.h"

namespace vergence {

/// Whether mpirun, or another launcher of MPI programs, started this process: only then can an MpiProcess exist. Does
/// not start MPI itself. In a build without MPI, whether it started several: they would each do the whole work, so such
/// a program should make an MpiProcess, which throws.
bool launched_by_mpi(const Environment& variable = std::getenv);

struct MpiSettings {
  double patience = 600;                            // seconds that a collective waits for the other ranks
  std::int64_t most_bytes = std::int64_t{1} << 30;  // of one message; larger arrays take several
};

/// MPI in this process, from construction to destruction: one per process, which cannot be started again. Throws Error
/// if MPI does not start, or did not start this process. Its end waits for the other processes, but not after a failed
/// collective, nor while an exception passes: then the process should exit with a status other than 0, and mpirun ends
/// the others.
class MpiProcess {
 public:
  MpiProcess();
  MpiProcess(const MpiProcess&) = delete;
  MpiProcess& operator=(const MpiProcess&) = delete;
  ~MpiProcess();

  /// Of all processes. Every process makes the same ones in the same order; the MpiProcess must outlive them. A
  /// collective that waits longer than `patience` throws Error, as do those that MPI itself reports. Sums between
  /// `begin_sum` and `finish_sums` move on whenever this process calls a collective of the same communicator.
  std::unique_ptr<Communicator> communicator(const MpiSettings& settings = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vergence
