// The folder of one run: config.toml, metrics.jsonl, checkpoint.safetensors, encoder.safetensors, train.log, run.json;
// tuning.json with --tune, and files that some objectives add. If another run must come first, its folder is stage1 in
// this one.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace vergence {

class RunFolder {
 public:
  /// Opens or creates `path` and locks it until destruction, which removes a created folder that is still empty. Throws
  /// UsageError if the folder holds a run (more than `only_begun`) and `resume` is false, if `resume` is true and the
  /// run's checkpoint is lost, if another process uses the folder, if it cannot be created, or if a file in it cannot
  /// be written or is not a regular file.
  RunFolder(std::string path, bool resume);
  /// The folder that another rank has opened: only read here, what would be written is dropped.
  struct Follow {};
  RunFolder(Follow, std::string path, bool resume);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  /// Whether `resume` was true and there is a checkpoint.
  bool resuming() const { return resuming_; }
  /// Whether the folder has the start of a run that ended before its first line and checkpoint, as after a wrong
  /// option. There is nothing to keep: another run may take the folder, and the constructor removes its event files.
  bool only_begun() const;
  /// Whether this file of the folder exists, even as a broken link. Throws UsageError if the system cannot tell.
  static bool has(const std::string& file);
  const std::string& path() const { return path_; }
  std::string config() const { return path_ + "/config.toml"; }
  std::string metrics() const { return path_ + "/metrics.jsonl"; }
  std::string checkpoint() const { return path_ + "/checkpoint.safetensors"; }
  std::string encoder() const { return path_ + "/encoder.safetensors"; }
  std::string encoder_as_trained() const { return path_ + "/encoder_as_trained.safetensors"; }
  std::string mask() const { return path_ + "/mask.safetensors"; }
  std::string distributions() const { return path_ + "/distributions.safetensors"; }
  std::string first_stage() const { return path_ + "/stage1"; }  // the run folder of the first stage
  std::string pictures() const { return path_ + "/pictures"; }   // a folder
  std::string tuning() const { return path_ + "/tuning.json"; }
  std::string train_log() const { return path_ + "/train.log"; }
  std::string record() const { return path_ + "/run.json"; }

  /// Replaces config.toml.
  void write_config(const std::string& toml);
  /// Opens metrics.jsonl for appending, cut back to lines whose "step" is at most `last_step` (0: new run); call once
  /// before `log`. Drops empty lines and a cut-off last one. Throws UsageError with file and line for other lines that
  /// are not an object with a step.
  void open_metrics(std::int64_t last_step);
  /// Appends one line and hands it to the system, so that a kill of this process cannot lose it. NaN and infinities
  /// become null.
  void log(const nlohmann::ordered_json& line);
  /// Waits until all lines are on the disk; call before writing a checkpoint.
  void sync_metrics();

 private:
  void remove_records() const;
  void refuse_remains() const;
  void remove_if_empty() const;

  std::string path_;
  std::string created_;  // the outermost folder that was; empty: all were there
  bool resuming_ = false, follows_ = false;
  int lock_ = -1, metrics_ = -1;
};

}  // namespace vergence
