// Batches of views in the host's memory, made by worker threads while the model trains, in a fixed ring of batches. A
// batch never depends on the number of workers. Used by HostSource and, without a device, by `bench data`.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/loading/batch.h"

namespace vergence {

/// One batch: all of view 0, then all of view 1, and so on; each view is one group for statistics.
struct Batch {
  std::int64_t epoch = 0, step = 0;  // step within the epoch
  std::int64_t channels = 3;         // of the images and views
  std::vector<std::int64_t>
      indices;  // a rank's part of the batch: indices in the data set (of the replacement for a bad image)
  std::vector<std::int32_t> labels;  // as many; -1 without labels
  std::vector<float> views;          // [views * images, size, size, channels]
  std::vector<float> plain;          // [images, size, size, channels], or empty
  std::vector<float> fresh;          // like views, or empty
};

class Loader {
 public:
  /// Batches in memory: one in use, one ready, and one being made.
  static constexpr int places = 3;

  /// Starts the workers. `dataset` must outlive the loader. Throws UsageError like check_loader_settings.
  Loader(const Dataset& dataset, LoaderSettings settings);
  /// Stops and joins the workers.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, in endless epochs without the last partial batch; valid until the next call. Throws what a worker
  /// threw while making it.
  const Batch& next();

  std::int64_t steps_per_epoch() const;
  /// Seconds that `next` has spent waiting for workers so far.
  double seconds_waited() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vergence
