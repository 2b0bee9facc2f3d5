// Evaluates a run's encoder during training: kNN on the unchanged features.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>

#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/training/progress.h"
#include "ssl/training/run_setup.h"

namespace vergence {

class Validation {
 public:
  /// Both must outlive this. `progress` receives an evaluation's progress and its lines.
  Validation(const RunSetup& run, Progress& progress) : run_(run), progress_(progress) {}

  /// Adds kNN's accuracies after `epoch` to a line of metrics.jsonl: knn_cosine_200 and knn_euclidean_5 (per cent), and
  /// the same with the suffix _masked if the objective has a mask.
  void evaluate(nlohmann::ordered_json& line, std::int64_t epoch);
  /// The same for the encoder with these running statistics, with the suffix _recalibrated.
  void evaluate_recalibrated(nlohmann::ordered_json& line, std::int64_t epoch, Statistics& statistics);

 private:
  std::pair<Features, Features> bank_and_queries(const Encode& encode);
  Features features_of(const Dataset& dataset, const Encode& encode, std::int64_t done_before, std::int64_t all);
  void tell_cover(const Dataset& bank, const Dataset& queries);
  void log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnAccuracy& accuracy, const char* suffix,
               const char* remark);

  const RunSetup& run_;
  Progress& progress_;
  bool cover_told_ = false;
};

}  // namespace vergence
