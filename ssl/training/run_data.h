// The images of a run. Each split is opened as seldom as its memory allows; both stages of a run share them.
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
  /// Of the training images; worked out once.
  const Fingerprint& fingerprint();

  /// Throws UsageError unless the splits that the encoder is judged by can be opened and have labels: a missing file is
  /// better noticed now than after the first epoch.
  void require_judged();
  /// Split "probe" (kNN's bank) or "test", --eval-limit images at most. Image files are looked through once; images
  /// that would stay in memory are opened anew each time.
  Dataset judged(const std::string& split);
  /// Images of "probe" to choose pictures from: at least `count`, or all.
  Dataset pictured(std::int64_t count);

 private:
  Dataset open(const std::string& split, std::int64_t limit) const;

  DatasetSettings settings_;  // of the judged splits
  std::int64_t eval_limit_;
  Dataset train_;
  std::optional<Fingerprint> fingerprint_;
  std::map<std::string, Dataset> kept_;
};

}  // namespace vergence
