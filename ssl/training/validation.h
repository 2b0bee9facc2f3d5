// Judges a run's encoder while it trains, by its unchanged features: deviation and RankMe of training images, and kNN.
// Several ranks do it together: each extracts a part of the features and classifies a part of kNN's queries.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/training/progress.h"
#include "ssl/training/run_setup.h"
#include "ssl/training/shared_figures.h"

namespace vergence {

/// Bounds of a collapse: features that hardly differ between images, or that lie along one direction.
constexpr double collapsed_std = 0.02, collapsed_rankme = 1.2;
/// A warning with advice; empty if the features have not collapsed.
std::string collapse_warning(const Collapse& collapse, std::int64_t epoch);

class Validation {
 public:
  /// All must outlive this. `progress` receives an evaluation's progress and its lines. `checkpoint` is the run's, for
  /// messages.
  Validation(const RunSetup& run, Progress& progress, World& world, std::string checkpoint)
      : run_(run), progress_(progress), world_(world), checkpoint_(std::move(checkpoint)) {}

  /// Adds to a line of metrics.jsonl, after `epoch`: std and rankme (ssl/evaluation/geometry/spectrum.h) of evenly
  /// spaced training images. Needs no labels. Says once if the features have collapsed.
  void judge_collapse(nlohmann::ordered_json& line, std::int64_t epoch);
  /// Adds kNN's accuracies: knn_cosine_200 and knn_euclidean_5 (percent), and the same with the suffix _masked if the
  /// objective has a mask; and knn_images (ssl/steps/figures.h), which a resumed run may change. Without --eval-every,
  /// images that cannot be judged so are no error: says why once.
  void judge_knn(nlohmann::ordered_json& line, std::int64_t epoch);
  /// The same for the encoder with these running statistics, with the suffix _recalibrated.
  void judge_recalibrated(nlohmann::ordered_json& line, std::int64_t epoch, Statistics& statistics);

 private:
  /// Everything for kNN on this rank.
  struct KnnFeatures {
    Features bank, queries;        // queries: this rank's
    std::int64_t all_queries = 0;  // of all ranks
  };

  Features training_features();
  KnnFeatures bank_and_queries(const Encode& encode, std::int64_t epoch);
  void require_finite(const std::vector<const Features*>& own, std::int64_t epoch);
  Features features_of(const Dataset& dataset, const Encode& encode, std::int64_t done_before, std::int64_t all);
  void tell_skipped();
  void tell_cover(const Dataset& bank, const Dataset& queries);
  KnnAccuracy accuracy_of(const KnnFeatures& features);
  void log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnFeatures& features, const char* suffix,
               const char* remark);

  const RunSetup& run_;
  Progress& progress_;
  World& world_;
  std::string checkpoint_;
  std::string skipped_;  // this rank's, line by line
  bool cover_told_ = false, collapse_told_ = false, no_knn_ = false;
};

}  // namespace vergence
