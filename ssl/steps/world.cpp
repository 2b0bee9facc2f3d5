#include "ssl/steps/world.h"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <omp.h>
#include <utility>

#include "kernels/communicators/mpi.h"
#include "kernels/communicators/nccl.h"
#include "kernels/communicators/tcp.h"
#include "kernels/host_name.h"
#include "ssl/steps/setup.h"

namespace vergence {
namespace {

constexpr const char* visible_gpus = "CUDA_VISIBLE_DEVICES";

/// "0,2,5" -> {"0", "2", "5"}.
std::vector<std::string> entries_of(const std::string& list) {
  std::vector<std::string> entries;
  for (std::size_t begin = 0; begin < list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    entries.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return entries;
}

/// Leaves this process one GPU: that of its place on this host. A launcher may have done so already.
void choose_gpu(int place) {
  const char* given = std::getenv(visible_gpus);
  const std::vector<std::string> entries = entries_of(given ? given : "");
  if (given && entries.size() == 1) return;
  require_usage(!given || place < static_cast<int>(entries.size()), visible_gpus, "=", given ? given : "",
                ": has no GPU for rank ", place + 1, " of this host");
  setenv(visible_gpus, given ? entries[static_cast<std::size_t>(place)].c_str() : std::to_string(place).c_str(), 1);
}

/// Computes on this rank's share of the host's processors.
void share_processors(int ranks_here) {
  if (!std::getenv("OMP_NUM_THREADS"))
    omp_set_num_threads(std::min(omp_get_num_procs(), processors_of_rank(ranks_here)));
}

void gather_bytes(Communicator& ranks, const void* own, std::int64_t size, void* all) {
  ranks.all_gather(cpu_backend(), ConstArray(own, size, DType::u8), Array{all, ranks.ranks() * size, DType::u8});
}

/// What a rank's part has come to: empty, or "u" or "e" and the message of a UsageError or another error.
std::string outcome(const std::function<void()>& part) {
  try {
    part();
  } catch (const UsageError& error) {
    return join("u", error.what());
  } catch (const std::exception& error) {
    return join("e", error.what());
  }
  return "";
}

}  // namespace

/// The connections of a process with the others.
struct World::Processes {
  std::unique_ptr<MpiProcess> mpi;
  std::unique_ptr<Communicator> host, gpus;
};

World::World() : alone_(single_communicator()), host_(alone_.get()) {}

World::World(Communicator& ranks) : host_(&ranks), tensors_(ranks.ranks() > 1 ? &ranks : nullptr) {}

World::World(const Launch& launch, const std::string& device, double patience) : World() {
  if (launch.by == Launch::By::nobody) return;
  const bool by_mpi = launch.by == Launch::By::mpi;
  if (device != "cpu") choose_gpu(launch.local_rank);
  const bool gpu = backend(device.c_str()).traits().own_memory;
  require_usage(by_mpi || gpu, "--device ", device, ": ", launch.by == Launch::By::slurm ? "srun" : "torchrun",
                " started this process as rank ", launch.rank, " of ", launch.ranks,
                ", but on CPUs ranks need mpirun: mpirun -n ", launch.ranks, " pretrain ...");
  processes_ = std::make_unique<Processes>();
  if (by_mpi) {
    processes_->mpi = std::make_unique<MpiProcess>();
    processes_->host = processes_->mpi->communicator({.patience = patience});
  } else {
    processes_->host = tcp_communicator(launch, patience);
  }
  host_ = processes_->host.get();
  const std::vector<std::string> hosts = gather(host_name());
  ranks_here_ = static_cast<int>(std::count(hosts.begin(), hosts.end(), host_name()));
  share_processors(ranks_here_);
  for (const int theirs : gather(gpu ? 1 : 0))
    if (theirs != (gpu ? 1 : 0))
      throw SharedUsageError(join("--device ", device, ": some ranks have a GPU, others have none"));
  if (!gpu && ranks() > 1) tensors_ = host_;
}

World::~World() = default;

int World::rank() const { return host_->rank(); }
int World::ranks() const { return host_->ranks(); }

Sharing World::sharing(Backend& backend) {
  if (!tensors_ && ranks() > 1) {
    std::vector<std::uint8_t> id;
    together([&] {
      if (leads()) id = make_nccl_id();
    });
    const std::string shared = gather(std::string(id.begin(), id.end()))[0];
    processes_->gpus = nccl_communicator(backend, rank(), ranks(), {shared.begin(), shared.end()});
    tensors_ = processes_->gpus.get();
  }
  return {.rank = rank(), .ranks = ranks(), .ranks_here = ranks_here_, .tensors = {tensors_}};
}

std::vector<int> World::gather(int number) {
  std::vector<int> all(static_cast<std::size_t>(ranks()));
  gather_bytes(*host_, &number, sizeof number, all.data());
  return all;
}

std::vector<std::string> World::gather(const std::string& text) {
  require(text.size() <= INT_MAX, "ranks: a text of ", text.size(), " bytes is too long");
  const std::vector<int> sizes = gather(static_cast<int>(text.size()));
  const int longest = *std::max_element(sizes.begin(), sizes.end());
  std::string padded = text, all(static_cast<std::size_t>(longest) * sizes.size(), '\0');
  if (longest == 0) return std::vector<std::string>(sizes.size());
  padded.resize(static_cast<std::size_t>(longest));
  gather_bytes(*host_, padded.data(), longest, all.data());
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < sizes.size(); ++r)
    texts.push_back(all.substr(r * static_cast<std::size_t>(longest), static_cast<std::size_t>(sizes[r])));
  return texts;
}

void World::together(const std::function<void()>& part) {
  if (ranks() == 1) return part();
  for (const std::string& failure : gather(outcome(part))) {
    if (failure.empty()) continue;
    if (failure[0] == 'u') throw SharedUsageError(failure.substr(1));
    throw SharedError(failure.substr(1));
  }
}

}  // namespace vergence
