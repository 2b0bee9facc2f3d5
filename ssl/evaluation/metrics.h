// The metrics of `evaluate`, one function each: it computes, shows a line per figure, and returns what is stored.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ssl/evaluation/evaluation.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/probes/episodes.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/robustness/corruptions.h"
#include "ssl/evaluation/robustness/foreground.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

/// The state that the metrics share: the subject, and the images and features, read and extracted on first use. A
/// figure that is undefined for these images is null; a line and `not_measured` give the reason.
class Metrics {
 public:
  using Json = nlohmann::ordered_json;

  /// All arguments must outlive it.
  Metrics(Subject& subject, const EvaluationSettings& settings, const ShowLine& show);

  Json knn();
  Json crowding();
  Json collapse();
  Json alignment();
  Json clustering();
  Json foreground();
  Json dense();
  Json reconstruction();
  Json nuisance();
  Json episodes();
  Json corruptions();
  Json knn_sweep();  // metrics_knn_sweep.cpp

  /// Returns why this data set has no episodes, as text to follow its name; empty if it has some.
  std::string why_no_episodes();
  /// Shows and records that this figure does not exist; returns null.
  Json none(const std::string& figure, const std::string& why);
  /// The figures that were not measured, each with the reason.
  const std::vector<std::pair<std::string, std::string>>& not_measured() const { return not_measured_; }

  const Dataset& training();  // trains probes and serves as kNN's bank
  const Dataset& test();      // the judged images
  const Features& bank();
  const Features& query();

 private:
  /// Images as the encoder sees them, and the settings that remain to be applied.
  struct Seen {
    Dataset images;
    ExtractSettings extract;
  };

  const EpisodeClasses& episode_classes();
  /// Opens a split and shows its notices.
  Dataset opened(const std::string& split) const;
  Features features_of(const Dataset& dataset, const ExtractSettings& extract) const;
  void line(const std::string& name, double value, int decimals, const std::string& note = "") const;
  /// Shows once which judged classes have no training images, and stores that in `json`.
  void tell_cover(const std::vector<std::int32_t>& learned, const std::vector<std::int32_t>& judged,
                  const std::string& limit, Json& json);
  std::string limit_text() const;
  std::string judged_text();
  std::string mask_path() const;
  void take_mask(const std::string& path);
  Json knn_of(const Features& bank, const Features& query, const std::string& prefix) const;
  Json corruptions_of(const std::string& judge, const CorruptedFeatures& tests,
                      const std::function<double(const Features&)>& top1) const;
  std::unique_ptr<LayeredSplit> layers(const std::string& split) const;
  Json shown_swap(const BackgroundSwap& swap) const;
  Json rows_of(const std::string& judge, const ForegroundMatrix::Rows& rows) const;
  std::int64_t train_limit() const;
  Dataset some_training();
  Seen seen(const Dataset& dataset) const;

  Subject& subject_;
  const EvaluationSettings& settings_;
  const ShowLine& show_;
  Encode encode_;
  ProbeSettings probe_;
  std::vector<float> mask_;  // empty: none
  std::optional<Dataset> training_, test_;
  std::optional<Features> bank_, query_;
  std::optional<EpisodeClasses> episode_classes_;
  std::vector<std::string> told_;  // notices already shown
  std::vector<std::pair<std::string, std::string>> not_measured_;
};

}  // namespace vergence
