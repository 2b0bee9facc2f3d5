// A run's records besides its results: train.log and run.json.
#pragma once

#include <cstdint>
#include <cstdio>
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
  /// `outer`: the notes of the run whose first stage this is; its log receives this run's lines too.
  explicit RunNotes(RunNotes* outer = nullptr) : log(outer ? &outer->log : nullptr) {}
  /// With `silent`, writes and shows nothing: the notes of a rank that does not lead.
  explicit RunNotes(bool silent) : log(nullptr, silent ? nullptr : stdout, silent ? nullptr : stderr) {}

  /// Opens both files in the folder, once it is certain that the run uses it. Does nothing if they are open, or if the
  /// log is silent.
  void begin(const RunFolder& folder, const Options& options, std::int64_t from_step, int ranks = 1);
  /// Call when the checkpoint of this step is written.
  void reached(std::int64_t step) { step_ = step; }
  /// Runs `body`, which returns an exit status, and records how it ended; for an exception, also the line that run_tool
  /// prints (tools/common.h). Failed writes only warn. A nested call on the same notes only runs `body`.
  void around(const std::function<int()>& body);

  TrainLog log;

 private:
  void end(int exit_status);

  std::optional<RunRecord> record_;
  std::int64_t step_ = 0;
  bool within_ = false;
};

/// "cpu, fp32, 2 threads (cpu; this build has no CUDA)": device, precision and threads of the run.
std::string device_text(const Options& options);

}  // namespace vergence
