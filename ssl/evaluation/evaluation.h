// All that `evaluate` can say about an encoder, by the names on its command line. What each figure is:
// docs/evaluation.md.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/evaluation/episodes.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

struct EvaluationSettings {
  std::vector<std::string> metrics;  // from chosen_metrics
  bool all = false;                  // they are all there are: one that the images do not allow is left out with a line
  std::string mask_file;             // a factor per feature for kNN; empty: mask.safetensors beside the encoder, if any
  std::int64_t train_limit =
      0;                     // dense, reconstruction, nuisance and corruptions' probe: the first N probe images; 0: all
  std::uint64_t seed = 1;    // of views, first centres, nuisances, episodes and the probes' first weights
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

/// Computes the metrics; returns evaluation.json's contents. What is wrong with the settings is said before the work.
nlohmann::ordered_json evaluate(Subject& subject, const EvaluationSettings& settings, const ShowLine& show);

}  // namespace vergence
