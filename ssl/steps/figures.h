// When a run judges its encoder while it trains, and with how many images. The plan's FLOPs decide, not the clock, so
// that a repeated or resumed run does the same. docs/running.md describes the figures.
#pragma once

#include <cstdint>
#include <string>

#include "ssl/options/options.h"

namespace vergence {

/// Some of the epochs 1 ... `epochs`, evenly spaced: the first, the last, and others in between.
struct SpacedEpochs {
  std::int64_t epochs = 0, times = 0;

  bool contains(std::int64_t epoch) const;
  /// How many of them are at most `epoch`.
  std::int64_t until(std::int64_t epoch) const;
};

/// Which images kNN uses in a run with these options, for metrics.jsonl: "planned", "all", or the number of
/// --eval-limit.
std::string knn_images(const Options& options);

/// What the figures of a run depend on.
struct FigureNeeds {
  double run_flops = 0;        // of all training steps
  double image_flops = 0;      // of the encoder's forward pass over one image
  std::int64_t dim = 0;        // of a feature
  std::int64_t images = 0;     // in the training split
  bool beside_device = false;  // whether the host computes while a GPU trains
};

struct FigurePlan {
  std::int64_t images = 0;             // of the training split, for the deviation and RankMe
  std::int64_t bank = 0, queries = 0;  // of kNN, at most; 0: all
  SpacedEpochs collapse, knn;          // epochs with the deviation and RankMe, and with kNN
  std::int64_t knn_every = 0;          // epochs; of --eval-every, in place of `knn`
  double collapse_work = 0;            // FLOPs of one deviation and RankMe, weighted by how slow the host does them
  double knn_work = 0;                 // the same of one kNN

  bool has_knn(std::int64_t epoch) const { return knn_every > 0 ? epoch % knn_every == 0 : knn.contains(epoch); }
  /// The work of the figures up to the end of `epoch`.
  double work_until(std::int64_t epoch) const;
  /// A line for the run's plan; empty without figures.
  std::string text(double run_flops) const;
};

/// Plans the figures so that those between the first and the last epoch keep all figures within 2 % of the run's work.
/// kNN comes ten times at most; with --eval-every, that option decides about it instead.
FigurePlan plan_figures(const Options& options, const FigureNeeds& needs);

}  // namespace vergence
