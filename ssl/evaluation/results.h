// Writes the results for a subject: the latest to a file of its own, and each as a line of results.jsonl.
// docs/evaluation.md describes the entries.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/io/files.h"
#include "engine/io/line_file.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

/// Returns the file for the latest result: --out, or <name>.json in the encoder's folder, with suffixes "_on_<data
/// set>" if the encoder was trained on another data set than --dataset, "_on_other_<data set>" for other own images
/// than those (left_images), "_val" for that split, "_untrained" for --untrained. Throws UsageError if the options name
/// no encoder, or if the file exists and is no earlier result, such as weights, options or metrics.
std::string result_path(const SubjectOptions& options, const std::string& name);

/// The fields of a line of results.jsonl besides those of the subject.
struct ResultRecord {
  std::string tool;                 // "evaluate", "linear_probe", "finetune"
  std::string protocol;             // the probe's; else the tool's name
  nlohmann::ordered_json settings;  // the tool's own settings
  std::uint64_t seed = 1;           // for the tool's draws
  std::int64_t test_images = 0;
  nlohmann::ordered_json figures;
};

/// Returns a line of results.jsonl. `date`: ISO 8601, UTC.
nlohmann::ordered_json result_line(const Subject& subject, const ResultRecord& record, const std::string& date);

/// The file of the latest result, and results.jsonl.
class EvaluationResults {
 public:
  /// Checks that the files can be written. The split in `options` must be settled; `name` is as in result_path. Throws
  /// UsageError, which names the file.
  EvaluationResults(const SubjectOptions& options, const std::string& name);

  /// The path of the latest result.
  const std::string& path() const { return file_.path(); }
  /// Writes `result` with the tool's version and commit, then adds a line to results.jsonl unless --out names another
  /// file.
  void write(const nlohmann::ordered_json& result, const Subject& subject, const ResultRecord& record);

 private:
  ResultFile file_;
  std::optional<LineFile> lines_;
};

}  // namespace vergence
