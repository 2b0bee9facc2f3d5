// What a run folder says about its run: options, metrics by step, results, and how far it came.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssl/options/options.h"

namespace vergence {

/// One figure of metrics.jsonl. Steps without a finite value are left out.
struct Series {
  struct Point {
    std::int64_t step = 0;
    double value = 0;
  };
  std::string name;
  std::vector<Point> points;  // by step
  std::string knn_images;     // of kNN: which it used (ssl/steps/figures.h); a run may have several such series
};

/// Whether this figure of metrics.jsonl is kNN's accuracy: of the split test, where all others are of training images.
bool is_online_knn(const std::string& figure);

/// One line of results.jsonl.
struct Result {
  std::string tool, protocol, judged_on, split, encoder;  // encoder: the file's name without folders
  bool untrained = false;
  std::map<std::string, std::string> settings;  // as JSON texts; those alone that affect a figure
  std::optional<std::int64_t> epoch;
  std::int64_t step = 0;
  std::vector<std::pair<std::string, double>> figures;  // "knn.knn_cosine_200.top1"
};

/// From run.json, over all starts. Empty or 0: unknown.
struct RunHistory {
  std::vector<std::string> commits;  // the different ones, in the order of the starts
  std::string hosts, devices;        // the different ones of the starts that made steps, separated by commas
  std::string start;                 // of the first start, ISO 8601
  /// Of all starts that have ended, or of the training of both stages that metrics.jsonl tells of, whichever is more.
  double seconds = 0;
  bool seconds_lack = false;  // it is that of ended starts, and others have no end
  bool ended = false;         // the last start
  std::int64_t status = 0;    // its exit status
  std::int64_t to_step = 0;   // its last checkpoint
};

struct RunFiles {
  std::string path, name;  // as given; its last folder
  Options options;
  std::vector<Series> metrics;  // in the order of the file
  std::int64_t last_step = 0, last_epoch = 0;
  std::int64_t steps_per_epoch = 0;  // 0: unknown, no epoch has ended
  std::vector<Result> results;       // in the order of the file
  RunHistory history;
  std::string unfinished;            // why; empty: all epochs are done
  std::vector<std::string> notices;  // about lines that were skipped

  const Series* series(const std::string& name) const;
  /// The epoch of a logged step, counted from 1.
  std::int64_t epoch_of(std::int64_t step) const;
  std::string file(const std::string& name) const { return path + "/" + name; }
};

/// Reads a run folder. Only config.toml must exist. A last line of metrics.jsonl that a kill cut off is left out. A
/// line of results.jsonl that is not JSON is skipped with a notice, as other readers of that file do. Throws UsageError
/// (one line) for a folder without config.toml and for damaged files, naming file and line.
RunFiles read_run(const std::string& path);

/// The numbers in a JSON text, each with its path: {"a":{"b":[1,2]}} gives "a.b[0]" 1 and "a.b[1]" 2. Settings such as
/// the number of neighbors and whatever is no number are left out.
std::vector<std::pair<std::string, double>> numbers_in(const std::string& json);

}  // namespace vergence
