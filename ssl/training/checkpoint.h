// checkpoint.safetensors: all that a run needs to go on as if it had never stopped.
//
// Names: "<set>.<parameter>" for each set of parameters, "optimizer.<set>.<buffer>.<parameter>" and
// "optimizer.<set>.steps" for its optimizer, "<statistics>.<layer>.running_mean", ".running_var" and
// ".num_batches_tracked". Convolution weights are stored as in memory, OHWI. Random numbers need no state: their
// counters are the epoch and step in the metadata (format, step, epoch, threads, images, images_xxh128, labels_xxh128,
// seconds, config, xxh128). The last is the hash of all the others and of every tensor.
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

/// Where a run stands, besides its tensors.
struct RunPosition {
  std::int64_t step = 0;   // steps done
  std::int64_t epoch = 0;  // epochs finished
  std::int64_t threads = 1;
  std::int64_t images = 0;  // of the data set; 0: not known
  Fingerprint data;         // of its images; empty: not known
  double seconds = 0;       // that the run took so far
  std::string config;       // complete, as TOML
};

/// A checkpoint in host memory of its own: steps that go on do not change it.
class CheckpointSnapshot {
 public:
  CheckpointSnapshot(const ObjectiveState& state, const RunPosition& position);
  CheckpointSnapshot(const CheckpointSnapshot&) = delete;
  CheckpointSnapshot& operator=(const CheckpointSnapshot&) = delete;

  /// Replaces the file in one step. Throws Error, leaving the old file, if a parameter is not finite or writing fails.
  /// Needs no device.
  void write(const std::string& path) const;

 private:
  void add(const std::string& name, const Tensor& tensor);
  void add(const std::string& name, std::int64_t number);

  Tensors copies_;
  std::deque<std::int64_t> numbers_;
  std::vector<TensorEntry> entries_;  // point into these
  std::size_t parameters_ = 0;        // come first
  Metadata metadata_;                 // without the hash
};

class Checkpoint {
 public:
  /// Reads and checks the file. Throws UsageError naming it for a damaged or foreign one, also where a single bit is
  /// another one than was written.
  explicit Checkpoint(const std::string& path);

  const RunPosition& position() const { return position_; }
  /// Overwrites every value of `state`. Throws UsageError naming file and tensor where one is missing, has another
  /// shape, or is not known.
  void restore(const ObjectiveState& state) const;

 private:
  SafetensorsFile file_;
  RunPosition position_;
};

}  // namespace vergence
