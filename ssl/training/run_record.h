// run.json of a run folder: where, when and by what command the run was made. An object of
//   version, commit   of the program that ran last (engine/version.h)
//   runs              an object for each start and each --resume: command (as a shell reads it), directory, host,
//                     processor, threads, device, start, end (UTC, ISO 8601), exit (status), from_step, to_step. Of one
//                     that another version or commit made, also its version and commit.
// end, exit and to_step are null as long as it goes on, and stay so where it was killed. to_step is the step of its
// last checkpoint, from which the next one goes on.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vergence {

struct RunStart {
  std::string command;  // for a shell; empty: not known
  std::string device;   // "cpu, fp32, 2 threads"
  std::int64_t threads = 1, from_step = 0;
};

class RunRecord {
 public:
  /// Reads what is at `path`, adds an entry for this start and writes the file. A file that is no such record is kept
  /// beside it under another name. Throws as write_atomically.
  RunRecord(std::string path, const RunStart& start);
  ~RunRecord();

  /// A line about a file that was no record; empty: there was none.
  const std::string& notice() const { return notice_; }
  /// Writes how this start ended. Throws as write_atomically.
  void end(int exit_status, std::int64_t to_step);

 private:
  std::string path_, notice_;
  std::unique_ptr<nlohmann::ordered_json> record_;
};

}  // namespace vergence
