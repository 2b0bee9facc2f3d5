// The ranks of a training run: processes that share every batch (engine/ranks.h), and what they tell each other besides
// tensors. One process alone is a world of one rank, in which nothing is exchanged.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/ranks.h"
#include "kernels/communicators/launch.h"
#include "kernels/error.h"
#include "ssl/steps/processors.h"

namespace vergence {

/// What a run must know about its ranks.
struct Sharing {
  int rank = 0, ranks = 1;
  int ranks_here = 1;  // on this host
  int processors = 0;  // of this host, this rank's share; 0: all that the process may use
  bool bound = false;  // the launcher gave the ranks of this host different processors
  Ranks tensors = {};
};

/// Errors that every rank throws: only the leader needs to tell them.
struct SharedError : Error {
  using Error::Error;
};
struct SharedUsageError : UsageError {
  using UsageError::UsageError;
};

/// What the tools say instead of std::bad_alloc's message.
constexpr const char* out_of_memory = "out of memory: try a smaller --batch or --width";

class World {
 public:
  /// One rank.
  World();
  /// The ranks of this communicator, which must outlive this: threads of one process.
  explicit World(Communicator& ranks);
  /// Starts what connects the processes of `launch`. Their collectives wait `patience` seconds for each other. Chooses
  /// this rank's GPU and, unless OMP_NUM_THREADS does, its share of the host's processors, so that no backend may be in
  /// use yet. Throws Error if the others are not there, and UsageError if `device` does not go with the launch or if a
  /// rank comes with a `refusal`, the message of its usage error. With MPI that is a SharedUsageError of all ranks.
  World(const Launch& launch, const std::string& device, double patience, const std::string& refusal = "");
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const;
  int ranks() const;
  bool leads() const { return rank() == 0; }
  /// For a run on `backend`. All ranks must call it together the first time, which connects their GPUs.
  Sharing sharing(Backend& backend);

  // ---- collectives in the host's memory: all ranks call the same ones, in the same order

  /// Each rank's number, in rank order.
  std::vector<int> gather(int number);
  /// Each rank's text (any bytes, of any length), in rank order.
  std::vector<std::string> gather(const std::string& text);
  /// Calls `part`, which must not contain collectives. If it throws on any rank, throws the error of the first such
  /// rank on all ranks: a SharedUsageError or a SharedError. The message names the rank unless it is rank 0.
  void together(const std::function<void()>& part);

  /// For an error that this rank alone has met: its GPU stops waiting for the others. No tensors can be exchanged after
  /// that. An error of `together` needs no such call.
  void abandon();

 private:
  struct Processes;

  void connect(const Launch& launch, double patience);
  void share_host();

  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Processes> processes_;
  Communicator* host_ = nullptr;     // for the host's memory
  Communicator* tensors_ = nullptr;  // null: one rank
  int ranks_here_ = 1;
  ProcessorShare share_ = {.processors = 0};
};

}  // namespace vergence
