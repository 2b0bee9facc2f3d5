#include "kernels/communicators/launch.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <string_view>

#include "kernels/communicators/mpi.h"
#include "kernels/error.h"

namespace vergence {

namespace {

constexpr int most_ranks = 1 << 16, most_port = 65535, default_port = 29500;  // the port: PyTorch's

class Reader {
 public:
  explicit Reader(const Environment& variable) : variable_(variable) {}

  /// Its value; empty if it is not set.
  std::string text(const char* name) const {
    const char* value = variable_(name);
    return value ? value : "";
  }
  bool has(const char* name) const { return !text(name).empty(); }
  /// The first of these that is set; null if none is.
  const char* first(std::initializer_list<const char*> names) const {
    const auto* found = std::find_if(names.begin(), names.end(), [this](const char* name) { return has(name); });
    return found == names.end() ? nullptr : *found;
  }

  int number(const char* name, int least, int most, const std::string& meaning) const {
    const std::string value = text(name);
    require_usage(!value.empty(), name, ": not set; expected ", meaning);
    int number = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number);
    require_usage(error == std::errc() && stop == end && number >= least && number <= most, name, "=", value,
                  ": expected ", meaning, ", ", least, " to ", most);
    return number;
  }
  int ranks(const char* name) const { return number(name, 1, most_ranks, "the number of processes"); }
  int rank(const char* name, int ranks) const { return number(name, 0, ranks - 1, "the rank of this process"); }
  int local_rank(const char* name, int ranks) const {
    return number(name, 0, ranks - 1, "the rank of this process among those of its host");
  }
  int port() const { return number("MASTER_PORT", 1, most_port, "a port of rank 0's host"); }

 private:
  const Environment& variable_;
};

Launch launch_by_mpi(const Reader& reader) {
  Launch launch{.by = Launch::By::mpi};
  // PMIx alone does not tell the number; srun, which may have started it, does.
  const char* ranks = reader.first({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  if (!ranks) return launch;
  launch.ranks = reader.ranks(ranks);
  if (const char* rank = reader.first({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}))
    launch.rank = reader.rank(rank, launch.ranks);
  if (const char* local = reader.first({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}))
    launch.local_rank = reader.local_rank(local, launch.ranks);
  return launch;
}

Launch launch_by_torchrun(const Reader& reader) {
  Launch launch{.by = Launch::By::torchrun};
  launch.ranks = reader.ranks("WORLD_SIZE");
  if (launch.ranks == 1) return {};
  launch.rank = reader.rank("RANK", launch.ranks);
  launch.local_rank = reader.local_rank("LOCAL_RANK", launch.ranks);
  launch.address = reader.text("MASTER_ADDR");
  require_usage(!launch.address.empty(), "MASTER_ADDR: not set; expected the host of rank 0");
  launch.port = reader.port();
  if (reader.text("TORCHELASTIC_USE_AGENT_STORE") == "True") {  // torchrun itself listens there
    require_usage(launch.port < most_port, "MASTER_PORT=", launch.port, ": expected less: the ranks use the next port");
    ++launch.port;
  }
  return launch;
}

/// The first host of a list of SLURM: "node[03-05,9],login" -> "node03".
std::string first_host(const char* name, std::string_view list) {
  std::string host;
  for (std::size_t at = 0; at < list.size() && list[at] != ','; ++at) {
    if (list[at] != '[') {
      host += list[at];
      continue;
    }
    const std::size_t close = list.find(']', at);
    require_usage(close != std::string_view::npos, name, "=", list, ": expected hosts like node[03-05,9]");
    const std::string_view numbers = list.substr(at + 1, close - at - 1);
    host += numbers.substr(0, numbers.find_first_of(",-"));
    at = close;
  }
  require_usage(!host.empty(), name, "=", list, ": expected hosts like node[03-05,9]");
  return host;
}

std::string slurm_address(const Reader& reader) {
  if (reader.has("MASTER_ADDR")) return reader.text("MASTER_ADDR");
  if (const char* list = reader.first({"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"}))
    return first_host(list, reader.text(list));
  require_usage(!reader.has("SLURM_NNODES") || reader.text("SLURM_NNODES") == "1",
                "SLURM_JOB_NODELIST: not set; expected the hosts, since SLURM_NNODES=", reader.text("SLURM_NNODES"));
  return "127.0.0.1";
}

Launch launch_by_slurm(const Reader& reader) {
  Launch launch{.by = Launch::By::slurm};
  launch.ranks = reader.ranks(reader.first({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}));
  if (launch.ranks == 1) return {};
  launch.rank = reader.rank("SLURM_PROCID", launch.ranks);
  launch.local_rank = reader.local_rank("SLURM_LOCALID", launch.ranks);
  launch.address = slurm_address(reader);
  launch.port = reader.has("MASTER_PORT") ? reader.port() : default_port;
  return launch;
}

}  // namespace

Launch launch_of_environment(const Environment& variable) {
  const Reader reader(variable);
  if (launched_by_mpi(variable)) return launch_by_mpi(reader);
  if (reader.has("RANK") && reader.has("WORLD_SIZE")) return launch_by_torchrun(reader);
  const bool step = reader.has("SLURM_STEP_ID") || (reader.has("SLURM_PROCID") && !reader.has("SLURM_JOB_ID"));
  if (step && reader.first({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"})) return launch_by_slurm(reader);
  return {};
}

}  // namespace vergence
