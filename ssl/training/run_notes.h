// What a run writes down of itself besides its results: train.log and run.json.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "ssl/options/options.h"
#include "ssl/training/log.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/run_record.h"

namespace vergence {

class RunNotes {
 public:
  /// `outer`: the notes of the run that this one is the first stage of; its log gets this one's lines too.
  explicit RunNotes(RunNotes* outer = nullptr) : log(outer ? &outer->log : nullptr) {}

  /// Opens both files in the folder, once it is certain that the run goes on there. Nothing where they are open.
  void begin(const RunFolder& folder, const Options& options, std::int64_t from_step);
  /// A checkpoint of this step has been written.
  void reached(std::int64_t step) { step_ = step; }
  /// Runs `body`, which returns an exit status, and notes how it ended: an exception as the line that run_tool makes of
  /// it (tools/common.h). What cannot be written then is a warning. Within another such call of the same notes it only
  /// runs `body`.
  void around(const std::function<int()>& body);

  TrainLog log;

 private:
  void end(int exit_status);

  std::optional<RunRecord> record_;
  std::int64_t step_ = 0;
  bool within_ = false;
};

/// "cpu, fp32, 2 threads (cpu; this build has no CUDA)": what the run computes with.
std::string device_text(const Options& options);

}  // namespace vergence
