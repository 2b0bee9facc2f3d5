// The images of a run, shared by both of its stages. Opens each split as rarely as memory allows.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "datasets/dataset.h"
#include "datasets/fingerprint.h"
#include "ssl/options/options.h"

namespace vergence {

class RunData {
 public:
  /// Opens the training split of the options' data set. Throws UsageError as open_dataset.
  explicit RunData(const Options& options);

  const Dataset& train() const { return train_; }
  /// Of the training images; computed once.
  const Fingerprint& fingerprint();

  /// Throws UsageError unless the evaluation's splits can be opened and have labels: checked early, not after the first
  /// epoch.
  void require_judged(std::int64_t limit);
  /// Split "probe" (kNN's bank) or "test" as all encoders are judged on it, whatever the run sees; at most `limit`
  /// images (0: all). Lists image files only once, but reopens data sets that would stay in memory. A split always has
  /// the same limit.
  Dataset judged(const std::string& split, std::int64_t limit);
  /// Images of "probe" as the run sees them, for pictures: at least `count`, or all.
  Dataset pictured(std::int64_t count);

 private:
  DatasetSettings settings_;  // the run's, but decoded exactly
  Dataset train_;
  std::optional<Fingerprint> fingerprint_;
  std::map<std::string, Dataset> kept_;  // judged splits of image files, which are the same in pictures
};

}  // namespace vergence
