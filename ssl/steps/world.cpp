#include "ssl/steps/world.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <omp.h>
#include <utility>

#include "kernels/communicators/mpi.h"
#include "kernels/communicators/nccl.h"
#include "kernels/communicators/tcp.h"
#include "kernels/host_name.h"

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

/// Leaves this process one GPU: that of its place on this host. A launcher may have done so already, and an empty list
/// leaves it none. Returns what is wrong if there are GPUs, or nothing.
std::string choose_gpu(int place) {
  const char* given = std::getenv(visible_gpus);
  const std::vector<std::string> entries = entries_of(given ? given : "");
  if (given && entries.size() <= 1) return "";
  if (given && place >= static_cast<int>(entries.size()))
    return join(visible_gpus, "=", given, ": has no GPU for rank ", place + 1, " of this host");
  setenv(visible_gpus, given ? entries[static_cast<std::size_t>(place)].c_str() : std::to_string(place).c_str(), 1);
  return "";
}

template <class T>
std::string raw_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> raw_values(const std::string& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
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
  } catch (const std::bad_alloc&) {
    return join("e", out_of_memory);
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

World::World(const Launch& launch, const std::string& device, double patience, const std::string& refusal) : World() {
  if (launch.by == Launch::By::nobody) return;
  // Before MPI starts, which may look for GPUs itself.
  const std::string no_gpu = device == "cpu" ? "" : choose_gpu(launch.local_rank);
  bool gpu = false;
  const auto check = [&] {
    require_usage(refusal.empty(), refusal);
    gpu = backend(device.c_str()).traits().own_memory;
    require_usage(!gpu || no_gpu.empty(), no_gpu);
    require_usage(launch.by == Launch::By::mpi || gpu, "--device ", device, ": ",
                  launch.by == Launch::By::slurm ? "srun" : "torchrun", " started this process as rank ", launch.rank,
                  " of ", launch.ranks, ", but on CPUs ranks need mpirun: mpirun -n ", launch.ranks, " pretrain ...");
  };
  // Without MPI, connecting may wait long for ranks that do not exist, since variables of a launcher may be left over.
  if (launch.by != Launch::By::mpi) check();
  connect(launch, patience);
  share_host();
  if (launch.by == Launch::By::mpi) together(check);
  for (const int theirs : gather(gpu ? 1 : 0))
    if (theirs != (gpu ? 1 : 0))
      throw SharedUsageError(join("--device ", device, ": some ranks have a GPU, others have none"));
  if (!gpu && ranks() > 1) tensors_ = host_;
}

void World::connect(const Launch& launch, double patience) {
  processes_ = std::make_unique<Processes>();
  if (launch.by == Launch::By::mpi) {
    processes_->mpi = std::make_unique<MpiProcess>();
    processes_->host = processes_->mpi->communicator({.patience = patience});
  } else {
    processes_->host = tcp_communicator(launch, patience);
  }
  host_ = processes_->host.get();
}

/// Learns which ranks are on this host, and computes on this rank's share of its processors.
void World::share_host() {
  const std::vector<std::string> hosts = gather(host_name());
  const std::vector<int> own = own_processors();
  std::vector<std::vector<int>> all;
  const std::vector<std::string> processors = gather(raw_bytes(own));
  for (std::size_t rank = 0; rank < hosts.size(); ++rank)
    if (hosts[rank] == host_name()) all.push_back(raw_values<int>(processors[rank]));
  ranks_here_ = static_cast<int>(all.size());
  share_ = processor_share(own, all);
  if (!std::getenv("OMP_NUM_THREADS")) omp_set_num_threads(std::min(omp_get_num_procs(), share_.processors));
}

World::~World() = default;

int World::rank() const { return host_->rank(); }
int World::ranks() const { return host_->ranks(); }

Sharing World::sharing(Backend& backend) {
  if (!tensors_ && ranks() > 1) {
    std::vector<std::uint8_t> id;
    together([&] {
      load_nccl();
      if (leads()) id = make_nccl_id();
    });
    const std::string shared = gather(std::string(id.begin(), id.end()))[0];
    processes_->gpus = nccl_communicator(backend, rank(), ranks(), {shared.begin(), shared.end()});
    tensors_ = processes_->gpus.get();
  }
  return {.rank = rank(),
          .ranks = ranks(),
          .ranks_here = ranks_here_,
          .processors = share_.processors,
          .bound = share_.bound,
          .tensors = {tensors_}};
}

std::vector<int> World::gather(int number) {
  std::vector<int> all(static_cast<std::size_t>(ranks()));
  gather_bytes(*host_, &number, sizeof number, all.data());
  return all;
}

std::vector<std::string> World::gather(const std::string& text) {
  constexpr std::int64_t piece = 1 << 26;
  const auto own = static_cast<std::int64_t>(text.size());
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(ranks()));
  gather_bytes(*host_, &own, sizeof own, sizes.data());
  const std::int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  std::vector<std::string> texts(sizes.size());
  for (std::int64_t begin = 0; begin < longest; begin += piece) {
    const std::int64_t size = std::min(piece, longest - begin);
    const auto part_of = [&](std::int64_t whole) { return std::clamp<std::int64_t>(whole - begin, 0, size); };
    std::string padded =
        begin < own ? text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(size)) : "";
    padded.resize(static_cast<std::size_t>(size));
    std::string all(static_cast<std::size_t>(size) * sizes.size(), '\0');
    gather_bytes(*host_, padded.data(), size, all.data());
    for (std::size_t r = 0; r < sizes.size(); ++r)
      texts[r].append(all, r * static_cast<std::size_t>(size), static_cast<std::size_t>(part_of(sizes[r])));
  }
  return texts;
}

void World::abandon() {
  if (processes_ && processes_->gpus) processes_->gpus->abandon();
}

void World::together(const std::function<void()>& part) {
  if (ranks() == 1) return part();
  const std::vector<std::string> failures = gather(outcome(part));
  for (std::size_t rank = 0; rank < failures.size(); ++rank) {
    if (failures[rank].empty()) continue;
    std::string message = failures[rank].substr(1);
    const std::string who = join("rank ", rank, " of ", ranks());
    if (rank > 0 && !message.starts_with(who)) message = who + ": " + message;
    if (failures[rank][0] == 'u') throw SharedUsageError(message);
    throw SharedError(message);
  }
}

}  // namespace vergence
