// What the tools that learn from labels share: opening labeled images, extracting features, lines of progress, judging
// a classifier.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/probes/probe.h"
#include "ssl/evaluation/sampling/bootstrap.h"
#include "ssl/evaluation/subject.h"

namespace vergence {

/// Prints each line on standard output, after `begin`.
void print_lines(const std::vector<std::string>& lines, const char* begin = "");

/// Opens a split that must have labels and prints its notices. `reader` needs them: "a linear probe".
Dataset open_labeled(const DatasetSettings& settings, const std::string& split, const char* reader);

/// Returns the features of un-augmented images; prints which images were skipped.
Features shown_features(const Subject& subject, const Encode& encode, const Dataset& data);

/// Prints "<unit> 3/100  loss 1.2345" at most every five seconds, and keeps the loss in `last_loss`.
ProbeProgress progress_lines(const char* unit, std::int64_t total, double& last_loss);

/// How often a classifier names the class of a judged image.
struct ClassifierFigures {
  ProbeAccuracy accuracy;
  Interval interval;  // of top-1
  ClassCover cover;
  std::int64_t images = 0, feature_dim = 0;

  /// Stores "top1", "interval_95", "top5", and the missing classes if there are any.
  void store(nlohmann::ordered_json& json) const;
  /// Prints the result's last two lines.
  void print() const;
};

/// Judges `classifier` on the features that `encode` gives of the un-augmented images of `judged`. It learned from
/// images of `train` with the labels `learned`. `seed`: of the interval's resamples. Prints which images were skipped,
/// and notices about classes.
ClassifierFigures judge_classifier(const LinearClassifier& classifier, const Subject& subject, const Encode& encode,
                                   const Dataset& judged, const Dataset& train,
                                   const std::vector<std::int32_t>& learned, std::uint64_t seed);

}  // namespace vergence
