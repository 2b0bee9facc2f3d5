// What a run judges its encoder by while it trains: kNN on the features as they are, and pictures.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/objective.h"
#include "ssl/options/options.h"

namespace vergence {

/// Whom an evaluation tells what it does.
struct EvaluationListener {
  std::function<void(const std::string& line)> note;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  // in images
};

class TrainingEvaluation {
 public:
  /// `view`: what the encoder is trained on. All must outlive this.
  TrainingEvaluation(const Options& options, const ViewSettings& view, Objective& objective, Backend& backend,
                     EvaluationListener listener);

  /// Adds kNN's accuracies after `epoch` to a line of metrics.jsonl: knn_cosine_200 and knn_euclidean_5 (per cent), the
  /// same with _masked behind them where the objective has a mask. Saves the objective's pictures in the folder.
  void evaluate(nlohmann::ordered_json& line, std::int64_t epoch, const std::string& pictures);
  /// The running statistics that the saved encoder gets after the last step, estimated over `train`. Where there are
  /// evaluations, adds their accuracies, with _recalibrated behind the names.
  Statistics recalibrate(nlohmann::ordered_json& line, std::int64_t epoch, const Dataset& train);

 private:
  ExtractSettings image_settings() const;
  std::pair<Features, Features> bank_and_queries(const Encode& encode);
  Dataset judged(const std::string& split);
  void tell_cover(const Dataset& bank, const Dataset& queries);
  void log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnAccuracy& accuracy, const char* suffix,
               const char* remark);

  const Options& options_;
  const ViewSettings& view_;
  Objective& objective_;
  Backend& backend_;
  EvaluationListener listener_;
  std::map<std::string, Dataset> judged_;
  bool cover_told_ = false;
};

}  // namespace vergence
