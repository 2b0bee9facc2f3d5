#include "ssl/evaluation/results.h"

#include <algorithm>
#include <filesystem>

#include "engine/io/destination.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "engine/text/utc_time.h"
#include "engine/version.h"
#include "kernels/error.h"
#include "models/weights/encoder_weights.h"
#include "models/weights/tensor_file.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// Whether the file is empty or has one result. results.jsonl, which may have a single line, is no such file; nor is
/// the description of an embedding, which has a format.
bool holds_result(const std::string& file) {
  if (fs::path(file).extension() == ".jsonl") return false;
  const std::string text = read_file(file);
  const nlohmann::json json = parse_json(text);
  return text.empty() || (json.is_object() && json.contains("encoder_file") && !json.contains("format"));
}

/// A result may replace an older one, but no weights, options, metrics, and no record of a run. `how`: names
/// another file.
void expect_no_input(const std::string& out, const char* how) {
  const Destination place = destination_of(out);
  require_usage(!place.exists || !place.is_regular() || holds_result(place.path), out,
                ": exists and is not a result, expected the name of another file", how);
}

/// "_on_cifar100": the judged images, if they are others than the encoder was trained on. Such a result does not
/// replace the one at home.
std::string away_suffix(const SubjectOptions& options, const std::string& encoder) {
  if (options.judged.has("dataset")) {
    const std::string home = trained_dataset(open_weights(encoder)->metadata()), away = options.judged.values.dataset;
    if (!home.empty() && home != away) return "_on_" + away;
  }
  const std::optional<OwnImages> left = left_images(options);
  return left ? "_on_other_" + left->dataset : "";
}

/// What of the description the encoder's file does not say itself, so that results of one file may differ in it.
std::vector<std::string> unsaid_by_file(const Subject& subject) {
  if (!describes_encoder(subject.metadata)) return {"prefix", "stem", "mean", "std"};
  return subject.options.described.names;
}

}  // namespace

std::string result_path(const SubjectOptions& options, const std::string& name) {
  const std::string encoder = encoder_path(options);
  if (!options.out.empty()) {
    expect_no_input(options.out, "");
    return options.out;
  }
  const std::string file = name + away_suffix(options, encoder) + (options.split == "val" ? "_val" : "") +
                           (options.untrained ? "_untrained" : "") + ".json";
  const std::string path = (fs::path(encoder).parent_path() / file).string();
  expect_no_input(path, " with --out");
  return path;
}

nlohmann::ordered_json result_line(const Subject& subject, const ResultRecord& record, const std::string& date) {
  const nlohmann::ordered_json about = subject.description();
  const auto told = [&](const char* key) { return about.contains(key) ? about[key] : nlohmann::ordered_json(nullptr); };
  nlohmann::ordered_json line{
      {"date", date}, {"tool", record.tool}, {"version", version()}, {"commit", build_commit()}};
  for (const char* key :
       {"encoder_file", "trained_on", "trained_data", "cifar100_classes", "judged_on", "data", "split"})
    if (about.contains(key)) line[key] = about[key];
  line["protocol"] = record.protocol;
  nlohmann::ordered_json settings;
  for (const char* key : {"limit", "classes", "jpeg", "decode", "image_size", "eval_resize", "run_seed", "precision",
                          "device", "threads"})
    if (about.contains(key)) settings[key] = about[key];
  for (const std::string& key : unsaid_by_file(subject))
    if (about.contains(key)) settings[key] = about[key];
  settings.update(record.settings);
  line["settings"] = settings;
  for (const char* key : {"epoch", "step"}) line[key] = told(key);
  if (about.contains("extended")) line["extended"] = about["extended"];
  line["seed"] = record.seed;
  line["untrained"] = told("untrained");
  if (about.contains("began_with")) line["began_with"] = about["began_with"];
  line["test_images"] = record.test_images;
  line["figures"] = record.figures;
  return line;
}

EvaluationResults::EvaluationResults(const SubjectOptions& options, const std::string& name)
    : file_(result_path(options, name)) {
  if (options.out.empty()) lines_.emplace((fs::path(encoder_path(options)).parent_path() / "results.jsonl").string());
}

void EvaluationResults::write(const nlohmann::ordered_json& result, const Subject& subject,
                              const ResultRecord& record) {
  nlohmann::ordered_json whole = result;
  whole["version"] = version();
  whole["commit"] = build_commit();
  file_.write(json_text(whole, 2) + "\n");
  if (lines_) lines_->append(json_text(result_line(subject, record, utc_now())));
}

}  // namespace vergence
