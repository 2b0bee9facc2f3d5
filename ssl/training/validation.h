// Judges a run's encoder while it trains, by its unchanged features: deviation and RankMe of training images, and kNN.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>

#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/training/progress.h"
#include "ssl/training/run_setup.h"

namespace vergence {

/// Bounds of a collapse: features that hardly differ between images, or that lie along one direction.
constexpr double collapsed_std = 0.02, collapsed_rankme = 1.2;
/// A warning with advice; empty if the features have not collapsed.
std::string collapse_warning(const Collapse& collapse, std::int64_t epoch);

class Validation {
 public:
  /// Both must outlive this. `progress` receives an evaluation's progress and its lines.
  Validation(const RunSetup& run, Progress& progress) : run_(run), progress_(progress) {}

  /// Adds to a line of metrics.jsonl, after `epoch`: std and rankme (ssl/evaluation/geometry/spectrum.h) of evenly
  /// spaced training images. Needs no labels. Says once if the features have collapsed.
  void judge_collapse(nlohmann::ordered_json& line, std::int64_t epoch);
  /// Adds kNN's accuracies: knn_cosine_200 and knn_euclidean_5 (per cent), and the same with the suffix _masked if the
  /// objective has a mask. Without --eval-every, images that cannot be judged so are no error: says why once.
  void judge_knn(nlohmann::ordered_json& line, std::int64_t epoch);
  /// The same for the encoder with these running statistics, with the suffix _recalibrated.
  void judge_recalibrated(nlohmann::ordered_json& line, std::int64_t epoch, Statistics& statistics);

 private:
  Features training_features();
  std::pair<Features, Features> bank_and_queries(const Encode& encode);
  Features features_of(const Dataset& dataset, const Encode& encode, std::int64_t done_before, std::int64_t all);
  void tell_cover(const Dataset& bank, const Dataset& queries);
  void log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const Features& bank, const Features& queries,
               const char* suffix, const char* remark);

  const RunSetup& run_;
  Progress& progress_;
  bool cover_told_ = false, collapse_told_ = false, no_knn_ = false;
};

}  // namespace vergence
