// The metrics of `evaluate`, one function each: computes, shows a line per figure, returns what is stored.
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

/// What the metrics work on: the subject, and images and features that are read and extracted when they are first asked
/// for. A metric, or a figure of one, that has no meaning for these images is null; a line and `not_measured` say why.
class Metrics {
 public:
  using Json = nlohmann::ordered_json;

  /// All must outlive it.
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

  /// Why there are no episodes in this data set, after its name; empty if there are.
  std::string why_no_episodes();
  /// Says and takes note that there is no such figure; returns null.
  Json none(const std::string& figure, const std::string& why);
  /// Figures and why there are none of them.
  const std::vector<std::pair<std::string, std::string>>& not_measured() const { return not_measured_; }

  const Dataset& training();  // what fits probes and is kNN's bank
  const Dataset& test();      // what is judged
  const Features& bank();
  const Features& query();

 private:
  /// Images as the encoder sees them, with the settings that then remain to be applied.
  struct Seen {
    Dataset images;
    ExtractSettings extract;
  };

  const EpisodeClasses& episode_classes();
  /// A split, with what it has to say shown.
  Dataset opened(const std::string& split) const;
  Features features_of(const Dataset& dataset, const ExtractSettings& extract) const;
  void line(const std::string& name, double value, int decimals, const std::string& note = "") const;
  /// Says which judged classes the images that are learnt from lack, once, and notes it in `json`.
  void tell_cover(const std::vector<std::int32_t>& learnt, const std::vector<std::int32_t>& judged,
                  const std::string& limit, Json& json);
  std::string limit_text() const;
  std::string judged_text();
  std::string mask_path() const;
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
  std::vector<std::string> told_;  // notices
  std::vector<std::pair<std::string, std::string>> not_measured_;
};

}  // namespace vergence
