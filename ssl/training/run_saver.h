// Writes what a run leaves in its folder: checkpoint, encoders, mask, tuned choices. Where weights lie on a device of
// their own, their copies on the host are checked and written while the steps go on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ssl/training/run_folder.h"
#include "ssl/training/run_notes.h"
#include "ssl/training/run_setup.h"
#include "ssl/training/saving.h"

namespace vergence {

class RunSaver {
 public:
  /// All must outlive this.
  RunSaver(const RunSetup& run, RunFolder& folder, RunNotes& notes);

  /// The running statistics that encoder.safetensors gets from now on; as trained it is saved besides.
  void recalibrated(Statistics statistics) { recalibrated_ = std::move(statistics); }
  /// Begins to save the run after `step` steps and so many seconds, once the last save is done.
  void save(std::int64_t step, double seconds, bool with_encoder);
  /// Saves the encoder alone; returns once it is there.
  void save_lost_encoder(std::int64_t step);
  /// Returns once nothing is under way. Throws what a write has thrown.
  void wait() { saving_.wait(); }
  /// The same where it takes no time, to hear early of a write that failed.
  void collect() { saving_.collect(); }

 private:
  std::int64_t epoch(std::int64_t step) const { return step / run_.steps_per_epoch; }
  void add_checkpoint(std::int64_t step, double seconds);
  void add_encoders(std::int64_t step);
  void add_encoder(const std::string& path, const Statistics& statistics, std::int64_t step);

  const RunSetup& run_;
  RunFolder& folder_;
  RunNotes& notes_;
  std::optional<Statistics> recalibrated_;
  Saving saving_;
};

}  // namespace vergence
