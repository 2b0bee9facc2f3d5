// All that `evaluate` can say about an encoder, by the names on its command line. What each figure is:
// docs/evaluation.md.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/evaluation/probes/episodes.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

struct EvaluationSettings {
  std::vector<std::string> metrics;  // from chosen_metrics
  bool unasked = false;   // all or the default ones: one that the images do not allow is left out with a line
  std::string mask_file;  // a factor per feature for kNN; empty: mask.safetensors beside the encoder, if any
  std::int64_t train_limit =
      0;                     // dense, reconstruction, nuisance and corruptions' probe: the first N probe images; 0: all
  std::uint64_t seed = 1;    // of views, first centers, nuisances, episodes and the probes' first weights
  EpisodeSettings episodes;  // its seed is not used
};

/// The names there are, in the order they are computed in.
const std::vector<std::string>& metric_names();

/// The metrics of a list such as "knn,crowding", in the order they are computed in, each once; "all" stands for all
/// that `dataset` allows. Throws UsageError naming those there are for an unknown or empty name, and for one that the
/// data set does not allow.
std::vector<std::string> chosen_metrics(const std::string& list, const std::string& dataset);

/// Receives a line per figure.
using ShowLine = std::function<void(const std::string& line)>;

/// Computes the metrics; returns evaluation.json's contents. What is wrong with the settings is said before the work,
/// as is a metric that was asked for by name and needs labels that the images have not; `settings.unasked` leaves such
/// out with one line. What has no meaning for these images, such as the distance of classes where there is one alone,
/// is null, and "not_measured" says why. So is a metric that fails after others have been computed, where `failure` is
/// given: that is what it threw, the first if there are several, and nothing otherwise. Without `failure` it is thrown.
nlohmann::ordered_json evaluate(Subject& subject, const EvaluationSettings& settings, const ShowLine& show,
                                std::exception_ptr* failure = nullptr);

/// The part of evaluation.json that holds figures: each metric's, and why some are null.
nlohmann::ordered_json figures_of(const nlohmann::ordered_json& evaluation);

}  // namespace vergence
