// How the processes of one training were started, as their launcher tells them in the environment.
#pragma once

#include <cstdlib>
#include <functional>
#include <string>

namespace vergence {

/// Looks up a variable like std::getenv: null if it is not set.
using Environment = std::function<const char*(const char* name)>;

/// How this process was started: alone, or as one of several by mpirun, torchrun or SLURM's srun.
struct Launch {
  enum class By { nobody, mpi, torchrun, slurm };
  By by = By::nobody;
  int rank = 0, ranks = 1;   // mpi: as far as the environment tells; an MpiProcess knows
  int local_rank = 0;        // among the ranks of this host: the GPU to use
  std::string address = {};  // torchrun, slurm: the host of rank 0
  int port = 0;              // where rank 0 listens there
};

/// Reads the environment; nothing is started. The first that fits: mpirun (launched_by_mpi(), even of one process),
/// torchrun, srun. A single process of these two counts as started by nobody, and so does the script of an sbatch job,
/// which is no step of srun. Throws UsageError that names the variable, its value and what was expected.
Launch launch_of_environment(const Environment& variable = std::getenv);

}  // namespace vergence
