// Lock, refusal and the log of a run folder.
#include "ssl/run_folder.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

#include "engine/files.h"
#include "engine/json_text.h"
#include "kernels/error.h"

namespace vergence {
namespace {

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

/// Locks the folder for this process; the lock goes with the process, however it ends.
int lock_folder(const std::string& path) {
  const std::string file = path + "/.lock";
  const int lock = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  require_usage(lock >= 0, file, ": cannot create: ", std::strerror(errno));
  // Other errors than "taken" mean a file system without locks: then there is nothing to be had.
  if (flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(lock);
    throw UsageError(join(path, ": another process is using this run folder"));
  }
  return lock;
}

/// The step of a line of metrics.jsonl; throws UsageError if it has none.
std::int64_t step_of(std::string_view line, const std::string& where) {
  const auto json = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  const bool good = json.is_object() && json.contains("step") && json["step"].is_number_integer();
  require_usage(good, where, ": expected a JSON object with a whole number \"step\"");
  return json["step"].get<std::int64_t>();
}

/// The lines of `text` up to `last_step`, without an unfinished one at the end.
std::string cut_back(const std::string& text, std::int64_t last_step, const std::string& path) {
  std::string kept;
  std::int64_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string_view line(text.data() + begin, end - begin);
    if (step_of(line, join(path, ":", ++number)) <= last_step) kept.append(line).push_back('\n');
    begin = end + 1;
  }
  return kept;
}

/// NaN and infinities have no place in JSON.
void null_what_is_not_finite(nlohmann::ordered_json& value) {
  if (value.is_structured()) {
    for (auto& item : value) null_what_is_not_finite(item);
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    value = nullptr;
  }
}

}  // namespace

RunFolder::RunFolder(std::string path, bool resume) : path_(std::move(path)) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  create_folders(path_);
  lock_ = lock_folder(path_);
  for (const std::string& file : {checkpoint(), metrics(), encoder(), config()}) {
    if (resume || !exists(file)) continue;
    close(lock_);
    throw UsageError(join(path_, ": holds a run already: go on with it by --resume (with --config ", config(),
                          " for its options), or choose another --out"));
  }
  resuming_ = resume && exists(checkpoint());
}

RunFolder::~RunFolder() {
  if (metrics_ >= 0) close(metrics_);
  close(lock_);
}

void RunFolder::write_config(const std::string& toml) { write_atomically(config(), toml); }

void RunFolder::open_metrics(std::int64_t last_step) {
  if (metrics_ >= 0) close(metrics_);
  if (exists(metrics())) {
    const std::string text = read_file(metrics());
    const std::string kept = cut_back(text, last_step, metrics());
    if (kept.size() != text.size()) write_atomically(metrics(), kept);
  }
  metrics_ = open(metrics().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  require(metrics_ >= 0, metrics(), ": cannot open for writing: ", std::strerror(errno));
}

void RunFolder::log(const nlohmann::ordered_json& line) {
  require(metrics_ >= 0, metrics(), ": open_metrics was not called");
  nlohmann::ordered_json finite = line;
  null_what_is_not_finite(finite);
  const std::string text = json_text(std::move(finite)) + "\n";
  const char* next = text.data();
  std::size_t left = text.size();
  while (left > 0) {
    const ssize_t done = write(metrics_, next, left);
    if (done < 0 && errno == EINTR) continue;
    require(done >= 0, metrics(), ": cannot write: ", std::strerror(errno));
    next += done;
    left -= static_cast<std::size_t>(done);
  }
}

void RunFolder::sync_metrics() {
  if (metrics_ >= 0) require(fdatasync(metrics_) == 0, metrics(), ": cannot sync: ", std::strerror(errno));
}

}  // namespace vergence
