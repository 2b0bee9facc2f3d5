// Writes a run's results to its folder: checkpoint, encoders, mask, tuned choices. With weights on a GPU, copies on the
// host are checked and written while steps continue.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "ssl/training/checkpoint.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_notes.h"
#include "ssl/training/run_setup.h"
#include "ssl/training/saving.h"

namespace vergence {

class RunSaver {
 public:
  /// All must outlive this.
  RunSaver(const RunSetup& run, RunFolder& folder, RunNotes& notes);

  /// From now on encoder.safetensors gets these running statistics; encoder_as_trained.safetensors keeps the encoder's
  /// own.
  void recalibrated(Statistics statistics) { recalibrated_ = std::move(statistics); }
  /// Starts to save the run after `step` steps and `seconds`, once the last save is done.
  void save(std::int64_t step, double seconds, bool with_encoder);
  /// Saves only the encoder; returns once it is written.
  void save_missing_encoder(std::int64_t step);
  /// Waits for the current save. Throws what a write has thrown.
  void wait() { saving_.wait(); }
  /// The same if no waiting is needed: reports a failed write early.
  void collect() { saving_.collect(); }

 private:
  std::int64_t epoch(std::int64_t step) const { return step / run_.steps_per_epoch; }
  std::shared_ptr<const CheckpointSnapshot> checkpoint_at(std::int64_t step, double seconds) const;
  void add_encoders(std::int64_t step);
  void add_encoder(const std::string& path, const Statistics& statistics, std::int64_t step);

  const RunSetup& run_;
  RunFolder& folder_;
  RunNotes& notes_;
  std::optional<Statistics> recalibrated_;
  Saving saving_;
};

}  // namespace vergence
