#include "ssl/training/run_record.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unistd.h>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "engine/text/stored_text.h"
#include "engine/text/utc_time.h"
#include "engine/version.h"
#include "kernels/error.h"
#include "kernels/host_name.h"
#include "ssl/training/run_folder.h"

namespace vergence {
namespace {

using nlohmann::ordered_json;

std::string working_directory() {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::current_path(error);
  return error ? "unknown" : path.string();
}

/// The processor's model name from Linux.
std::string processor_name() {
  constexpr std::string_view key = "model name";
  std::istringstream lines(file_exists("/proc/cpuinfo") ? read_file("/proc/cpuinfo") : "");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

/// Whether the JSON is a valid record: texts, numbers, and a list of objects with such values.
bool is_record(const ordered_json& record) {
  const auto simple = [](const ordered_json& object, std::string_view list) {
    for (const auto& [key, value] : object.items())
      if (value.is_structured() && key != list) return false;
    return true;
  };
  const auto is_text = [&](const char* key) { return record.contains(key) && record[key].is_string(); };
  if (!record.is_object() || !simple(record, "runs") || !is_text("version") || !is_text("commit")) return false;
  if (!record.contains("runs") || !record["runs"].is_array()) return false;
  for (const ordered_json& run : record["runs"])
    if (!run.is_object() || !simple(run, "")) return false;
  return true;
}

/// Restores the strings from their stored form.
void read_strings(ordered_json& value, const std::string& where) {
  if (value.is_string()) {
    value = read_stored_text(value.get_ref<const std::string&>(), where);
  } else if (value.is_structured()) {
    for (auto& item : value) read_strings(item, where);
  }
}

/// The record at `path`; null if there is none.
ordered_json record_at(const std::string& path) {
  if (!file_exists(path)) return nullptr;
  ordered_json record = parse_ordered_json(read_text(path));
  require_usage(is_record(record), path, ": is no record of a run");
  read_strings(record, path);
  return record;
}

/// Renames `path` to a free name.
std::string set_aside(const std::string& path) {
  std::string other = path + ".old";
  for (int number = 2; RunFolder::has(other); ++number) other = join(path, ".old", number);
  std::error_code error;
  std::filesystem::rename(path, other, error);
  require(!error, path, ": cannot be renamed to ", other, ": ", error.message());
  return other;
}

}  // namespace

RunRecord::RunRecord(std::string path, const RunStart& start) : path_(std::move(path)) {
  const std::string now = version(), commit = build_commit();
  ordered_json before;
  try {
    before = record_at(path_);
  } catch (const UsageError& error) {
    notice_ = join("notice: ", error.what(), "; kept as ", set_aside(path_), ", and a new one begins");
  }
  record_ = std::make_unique<ordered_json>();
  ordered_json& record = *record_;
  record = {{"version", now}, {"commit", commit}, {"runs", ordered_json::array()}};
  if (!before.is_null()) {
    record["runs"] = std::move(before["runs"]);
    if (before["version"] != now || before["commit"] != commit)
      for (ordered_json& run : record["runs"])
        if (!run.contains("version")) run["version"] = before["version"], run["commit"] = before["commit"];
  }
  record["runs"].push_back({{"command", start.command},
                            {"directory", working_directory()},
                            {"host", host_name()},
                            {"processor", processor_name()},
                            {"threads", start.threads},
                            {"device", start.device},
                            {"start", utc_now()},
                            {"end", nullptr},
                            {"exit", nullptr},
                            {"from_step", start.from_step},
                            {"to_step", nullptr}});
  if (start.ranks > 1) record["runs"].back()["ranks"] = start.ranks;
  if (!start.extended.empty()) record["runs"].back()["extended"] = start.extended;
  write_atomically(path_, json_text(record, 1) + "\n");
}

RunRecord::~RunRecord() = default;

void RunRecord::end(int exit_status, std::int64_t to_step) {
  ordered_json& record = *record_;
  ordered_json& run = record["runs"].back();
  run["end"] = utc_now();
  run["exit"] = exit_status;
  run["to_step"] = to_step;
  write_atomically(path_, json_text(record, 1) + "\n");
}

}  // namespace vergence
