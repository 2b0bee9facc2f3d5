// The lock, checks and log of a run folder.
#include "ssl/training/run_folder.h"

#include <cerrno>
#include <cmath>
#include <fcntl.h>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include "engine/io/files.h"
#include "engine/io/require_call.h"
#include "engine/text/json_text.h"
#include "kernels/error.h"
#include "ssl/training/tensorboard/event_file.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// Locks the folder for this process; the lock ends with the process in any case.
int lock_folder(const std::string& path) {
  const std::string file = path + "/.lock";
  const int lock = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  require_call<UsageError>(lock >= 0, file, "cannot open");
  // Any error but "taken" means a file system without locks: continue without.
  if (flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(lock);
    throw UsageError(join(path, ": another process is using this run folder"));
  }
  return lock;
}

/// The path without slashes at its end.
std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// The outermost missing folder on the way to `path`; empty: none is missing.
std::string first_missing(const std::string& path) {
  std::string missing;
  std::error_code error;
  for (fs::path at = path; !at.empty() && fs::symlink_status(at, error).type() == fs::file_type::not_found;
       at = at.parent_path())
    missing = at;
  return missing;
}

/// The step of a line of metrics.jsonl; throws UsageError if it has none.
std::int64_t step_of(std::string_view line, const std::string& where) {
  const nlohmann::json json = parse_json(line);
  const bool good = json.is_object() && json.contains("step") && json["step"].is_number_integer();
  require_usage(good, where, ": expected a JSON object with a whole number \"step\"");
  return json["step"].get<std::int64_t>();
}

/// The lines of `text` up to `last_step`, without empty lines and an unfinished last one.
std::string cut_back(const std::string& text, std::int64_t last_step, const std::string& path) {
  std::string kept;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string_view line(text.data() + begin, end - begin);
    ++number;
    const bool empty = line.find_first_not_of(" \t\r") == std::string_view::npos;
    if (!empty && step_of(line, join(path, ":", number)) <= last_step) kept.append(line).push_back('\n');
    begin = end + 1;
  }
  return kept;
}

/// JSON has no NaN and no infinities.
void null_what_is_not_finite(nlohmann::ordered_json& value) {
  if (value.is_structured()) {
    for (auto& item : value) null_what_is_not_finite(item);
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    value = nullptr;
  }
}

/// The files that a run replaces.
std::vector<std::string> own_files(const RunFolder& folder) {
  return {folder.config(), folder.metrics(),       folder.checkpoint(), folder.encoder(),   folder.encoder_as_trained(),
          folder.mask(),   folder.distributions(), folder.tuning(),     folder.train_log(), folder.record()};
}

/// Checks early that the run can rewrite its files, rather than fail after an epoch.
void check_files(const RunFolder& folder) {
  for (const std::string& file : own_files(folder)) regular_destination(file);
  if (RunFolder::has(folder.pictures())) regular_destination(folder.pictures() + "/epoch_0000.png");
}

/// Whether AtomicFile gives this name to an unfinished file that is to replace `name`.
bool is_temporary_of(const std::string& name, const std::string& file) {
  const std::string before = name + ".tmp";
  return file.size() > before.size() && file.starts_with(before) &&
         file.find_first_not_of("0123456789", before.size()) == std::string::npos;
}

/// Removes what a process that was killed while it wrote has left beside the run's files. Nobody else writes them while
/// the folder is locked.
void remove_temporaries(const RunFolder& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator entry(folder.path(), error), end; !error && entry != end; entry.increment(error))
    for (const std::string& own : own_files(folder))
      if (is_temporary_of(fs::path(own).filename().string(), entry->path().filename().string()))
        found.push_back(entry->path());
  for (const fs::path& file : found) fs::remove(file, error);
}

}  // namespace

bool RunFolder::has(const std::string& file) {
  std::error_code error;
  const auto type = fs::symlink_status(file, error).type();
  const bool none = type == fs::file_type::not_found;
  require_usage(none || !error, file, ": cannot be looked at: ", error.message());
  return !none;
}

RunFolder::RunFolder(Follow, std::string path, bool resume) : path_(without_slashes(std::move(path))), follows_(true) {
  resuming_ = resume && has(checkpoint());
}

RunFolder::RunFolder(std::string path, bool resume) : path_(without_slashes(std::move(path))) {
  created_ = first_missing(path_);
  create_folders(path_);
  lock_ = lock_folder(path_);
  try {
    check_files(*this);
    const bool free = resume || only_begun();
    for (const std::string& file : {checkpoint(), metrics(), encoder(), config(), first_stage()})
      require_usage(
          free || !has(file), path_,
          ": already holds a run: continue it with --resume (with --out alone, that takes the run's options), "
          "or choose another --out");
    resuming_ = resume && has(checkpoint());
    if (resume && !resuming_) refuse_remains();
    // Otherwise TensorBoard's HParams would show the options of the earlier run.
    if (only_begun()) remove_event_files(path_);
    if (only_begun() && !resume) remove_records();
    remove_temporaries(*this);
  } catch (...) {
    close(lock_);
    throw;
  }
}

RunFolder::~RunFolder() {
  if (metrics_ >= 0) close(metrics_);
  if (!created_.empty()) remove_if_empty();
  if (lock_ >= 0) close(lock_);
}

/// Removes the folders created for a run that wrote nothing, from the inside out.
void RunFolder::remove_if_empty() const {
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; entry != end && !error; entry.increment(error))
    if (entry->path().filename() != ".lock") return;
  if (error) return;
  fs::remove(path_ + "/.lock", error);
  for (fs::path at = path_; fs::remove(at, error) && at != created_; at = at.parent_path()) {
  }
}

/// A run killed before its first checkpoint leaves only config.toml and lines of metrics.jsonl. Anything else means
/// that a checkpoint was lost and would be overwritten.
bool RunFolder::only_begun() const {
  for (const std::string& file : {checkpoint(), encoder(), first_stage()})
    if (has(file)) return false;
  std::error_code error;
  return has(config()) && fs::is_regular_file(metrics(), error) && fs::is_empty(metrics(), error);
}

/// Another run takes the folder: its times and commits begin anew.
void RunFolder::remove_records() const {
  std::error_code error;
  for (const std::string& file : {record(), train_log()}) fs::remove(file, error);
}

void RunFolder::refuse_remains() const {
  const std::string lost = has(encoder())                     ? "encoder.safetensors"
                           : !has(config()) && has(metrics()) ? "metrics.jsonl"
                                                              : "";
  require_usage(lost.empty(), path_, ": has ", lost,
                " but no checkpoint.safetensors, so --resume would start over and ",
                "overwrite it: restore the checkpoint, or choose another --out");
}

void RunFolder::write_config(const std::string& toml) {
  if (!follows_) write_atomically(config(), toml);
}

void RunFolder::open_metrics(std::int64_t last_step) {
  if (follows_) return;
  if (metrics_ >= 0) close(metrics_);
  if (file_exists(metrics())) {  // not a broken link
    const std::string text = read_file(metrics());
    const std::string kept = cut_back(text, last_step, metrics());
    if (kept.size() != text.size()) write_atomically(metrics(), kept);
  }
  const std::string file = metrics();
  metrics_ = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  require_call(metrics_ >= 0, file, "cannot open for writing");
}

void RunFolder::log(const nlohmann::ordered_json& line) {
  if (follows_) return;
  require(metrics_ >= 0, metrics(), ": open_metrics was not called");
  nlohmann::ordered_json finite = line;
  null_what_is_not_finite(finite);
  const std::string text = json_text(std::move(finite)) + "\n", file = metrics();
  require_call(write_all(metrics_, text), file, "cannot write");
}

void RunFolder::sync_metrics() {
  const std::string file = metrics();
  if (metrics_ >= 0) require_call(fdatasync(metrics_) == 0, file, "cannot sync");
}

}  // namespace vergence
