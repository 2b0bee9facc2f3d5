// checkpoint.safetensors: everything a run needs to continue as if it had never stopped.
//
// Names: "<set>.<parameter>" for each set of parameters, "optimizer.<set>.<buffer>.<parameter>" and
// "optimizer.<set>.steps" for its optimizer, "<statistics>.<layer>.running_mean", ".running_var" and
// ".num_batches_tracked". Convolution weights are stored as in memory, OHWI. Random numbers need no state: their
// counters are the epoch and step in the metadata (format, step, epoch, device, threads, ranks, images,
// images_xxh128, labels_xxh128, seconds, config, xxh128). xxh128 is the hash of all other entries and of every tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "datasets/fingerprint.h"
#include "engine/io/safetensors.h"
#include "ssl/objective.h"

namespace vergence {

/// A run's position: everything but its tensors.
struct RunPosition {
  std::int64_t step = 0;   // steps done
  std::int64_t epoch = 0;  // epochs finished
  std::string device;      // Backend::description; empty: unknown
  std::int64_t threads = 1, ranks = 1;
  std::int64_t images = 0;  // in the data set; 0: unknown
  Fingerprint data;         // of the data set's images; empty: unknown
  double seconds = 0;       // spent so far
  std::string config;       // complete, as TOML
};

/// The end of a message about a run that diverged: where the last checkpoint is, if there is one at `path`.
std::string kept_checkpoint_text(const std::string& path);

/// A checkpoint copied to host memory: later steps do not change it.
class CheckpointSnapshot {
 public:
  CheckpointSnapshot(const ObjectiveState& state, const RunPosition& position);
  CheckpointSnapshot(const CheckpointSnapshot&) = delete;
  CheckpointSnapshot& operator=(const CheckpointSnapshot&) = delete;

  /// Throws Error if a parameter is not finite; `path`: where the last checkpoint is, if there is one.
  void require_finite(const std::string& path) const;
  /// Replaces the file atomically; needs no device. Throws Error, leaving the old file, if a parameter is not finite or
  /// writing fails.
  void write(const std::string& path) const;

 private:
  void add(const std::string& name, const Tensor& tensor);
  void add(const std::string& name, std::int64_t number);

  Tensors copies_;
  std::deque<std::int64_t> numbers_;
  std::vector<TensorEntry> entries_;  // point into the two above
  std::size_t parameters_ = 0;        // how many entries are parameters; they come first
  Metadata metadata_;                 // without the hash
};

class Checkpoint {
 public:
  /// Reads and checks the file. Throws UsageError naming it if it is damaged (even by one bit) or not a checkpoint.
  explicit Checkpoint(const std::string& path);

  const RunPosition& position() const { return position_; }
  /// Overwrites every value of `state`. Throws UsageError naming file and tensor if one is missing, unknown or of
  /// another shape.
  void restore(const ObjectiveState& state) const;

 private:
  SafetensorsFile file_;
  RunPosition position_;
};

}  // namespace vergence
