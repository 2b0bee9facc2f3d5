// All metrics that `evaluate` can compute for an encoder, by their names on the command line. docs/evaluation.md
// defines each figure.
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
  bool unasked = false;   // the default metrics or all: leaves out, with one line, those that the images do not allow
  std::string mask_file;  // a factor per feature for kNN; empty: mask.safetensors beside the encoder, if it exists
  // dense, reconstruction, nuisance and corruptions' probe: train on the first N probe images; 0: on all
  std::int64_t train_limit = 0;
  std::uint64_t seed = 1;       // for views, first centers, nuisances, episodes and initial probe weights
  EpisodeSettings episodes;     // its seed is not used
  bool episodes_given = false;  // the user set one of them, be it to its default
  std::string heading;  // of the first line, which goes on with the judged split and images; empty: no such line
};

/// Returns all metric names, in the order in which they are computed.
const std::vector<std::string>& metric_names();

/// Returns the metrics of a list such as "knn,crowding", each once, in the order of computation; "all": all that
/// `dataset` allows. Throws UsageError listing the valid names for an empty, unknown or disallowed one.
std::vector<std::string> chosen_metrics(const std::string& list, const std::string& dataset);

/// Receives one line per figure.
using ShowLine = std::function<void(const std::string& line)>;

/// Computes the metrics and returns the contents of evaluation.json. A figure that is undefined for these images is
/// null, with the reason in "not_measured". Throws UsageError for bad settings, and for a metric that needs labels if
/// the images have none (with `settings.unasked`, leaves it out instead). If a metric throws, its figures are null and
/// `failure` receives the first exception, or null if there is none; without `failure`, or if no metric succeeds, the
/// exception is thrown.
nlohmann::ordered_json evaluate(Subject& subject, const EvaluationSettings& settings, const ShowLine& show,
                                std::exception_ptr* failure = nullptr);

/// Returns the part of evaluation.json that holds the figures of each metric, and why some are null.
nlohmann::ordered_json figures_of(const nlohmann::ordered_json& evaluation);

}  // namespace vergence
