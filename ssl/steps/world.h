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

namespace vergence {

/// What a run must know about its ranks.
struct Sharing {
  int rank = 0, ranks = 1;
  int ranks_here = 1;  // on this host, whose processors they share
  Ranks tensors = {};
};

/// Errors that every rank throws: only the leader needs to tell them.
struct SharedError : Error {
  using Error::Error;
};
struct SharedUsageError : UsageError {
  using UsageError::UsageError;
};

class World {
 public:
  /// One rank.
  World();
  /// The ranks of this communicator, which must outlive this: threads of one process.
  explicit World(Communicator& ranks);
  /// Starts what connects the processes of `launch`. Their collectives wait `patience` seconds for each other. Chooses
  /// this rank's GPU and, unless OMP_NUM_THREADS does, its share of the host's processors, so that no backend may be in
  /// use yet. Throws UsageError if `device` does not go with the launch, and Error if the others are not there.
  World(const Launch& launch, const std::string& device, double patience);
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
  /// Each rank's text (any bytes), in rank order.
  std::vector<std::string> gather(const std::string& text);
  /// Calls `part`, which must not contain collectives. If it throws on any rank, throws the error of the first such
  /// rank on all ranks: a SharedUsageError or a SharedError.
  void together(const std::function<void()>& part);

 private:
  struct Processes;

  std::unique_ptr<Communicator> alone_;
  std::unique_ptr<Processes> processes_;
  Communicator* host_ = nullptr;     // for the host's memory
  Communicator* tensors_ = nullptr;  // null: one rank
  int ranks_here_ = 1;
};

}  // namespace vergence
