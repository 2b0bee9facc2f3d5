// run.json of a run folder: where, when and by which command the run was made. An object of
//   version, commit   of the last program that ran (engine/version.h)
//   runs              an object for each start and each --resume: command (as a shell reads it), directory, host,
//                     processor, threads, device, start, end (UTC, ISO 8601), exit (status), from_step, to_step; if
//                     another version or commit made it, also that version and commit; after --extend `extended`, all
//                     extensions; with several ranks their number, `ranks` (host and threads are those of rank 0).
// end, exit and to_step are null while it runs, and stay null if it is killed. to_step is the step of its last
// checkpoint, from which the next entry continues.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vergence {

struct RunStart {
  std::string command;  // quoted for a shell; empty: unknown
  std::string device;   // "cpu, fp32, 2 threads"
  std::int64_t threads = 1, from_step = 0;
  int ranks = 1;         // processes that share the batches
  std::string extended;  // how --extend lengthened the run; empty: it did not
};

class RunRecord {
 public:
  /// Reads `path`, adds an entry for this start and writes the file. A file that is not a record is kept under another
  /// name. Throws like write_atomically.
  RunRecord(std::string path, const RunStart& start);
  ~RunRecord();

  /// A message if the file was not a record; else empty.
  const std::string& notice() const { return notice_; }
  /// Writes how this start ended. Throws like write_atomically.
  void end(int exit_status, std::int64_t to_step);

 private:
  std::string path_, notice_;
  std::unique_ptr<nlohmann::ordered_json> record_;
};

}  // namespace vergence
