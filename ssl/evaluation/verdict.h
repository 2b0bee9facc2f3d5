// What has been found out about a subject, written down: the latest verdict in a file of its own, and every verdict as
// a line of results.jsonl. docs/evaluation.md says what the entries are.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/io/files.h"
#include "engine/io/line_file.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

/// Where to write what is found out: --out, or <name>.json in the encoder's folder, with "_on_<data set>" behind the
/// name where the encoder's file says it was trained on another one than --dataset, "_val" for that split and
/// "_untrained" for initial weights. Throws UsageError where the options name no encoder, and where --out names
/// weights, options or metrics that are there.
std::string verdict_path(const SubjectOptions& options, const std::string& name);

/// What a line of results.jsonl says beside what the subject does.
struct Judgment {
  std::string tool;                 // "evaluate", "linear_probe"
  std::string protocol;             // the probe's; "evaluate"
  nlohmann::ordered_json settings;  // the tool's own
  std::uint64_t seed = 1;           // of what the tool draws
  std::int64_t test_images = 0;
  nlohmann::ordered_json figures;
};

/// A line of results.jsonl. `date`: ISO 8601, UTC.
nlohmann::ordered_json result_line(const Subject& subject, const Judgment& judgment, const std::string& date);

/// The files of a verdict.
class VerdictFiles {
 public:
  /// Finds out whether they can be written. `options` with a split that is settled; `name` as of verdict_path. Throws
  /// UsageError naming the file.
  VerdictFiles(const SubjectOptions& options, const std::string& name);

  /// Of the verdict.
  const std::string& path() const { return file_.path(); }
  /// Writes `verdict` and then, unless --out names a file of its own, adds a line to results.jsonl.
  void write(const nlohmann::ordered_json& verdict, const Subject& subject, const Judgment& judgment);

 private:
  ResultFile file_;
  std::optional<LineFile> lines_;
};

}  // namespace vergence
