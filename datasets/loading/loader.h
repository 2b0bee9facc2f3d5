// Batches of views in the host's memory, made by worker threads while the model trains. What a batch holds never
// depends on the number of workers. The memory is that of a fixed ring of batches. HostSource owns one; what needs no
// device, such as `bench data`, uses it as it is.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/loading/batch.h"

namespace vergence {

/// One batch. All of view 0 comes first, then all of view 1, and so on: each view is one statistic group.
struct Batch {
  std::int64_t epoch = 0, step = 0;   // step within the epoch
  std::int64_t channels = 3;          // of the images and views
  std::vector<std::int64_t> indices;  // batch values: places in the data set (of the image that took a bad one's place)
  std::vector<std::int32_t> labels;   // batch values; -1 where there are none
  std::vector<float> views;           // [views * batch, size, size, channels]
  std::vector<float> plain;           // [batch, size, size, channels], or empty
  std::vector<float> fresh;           // as views, or empty
};

class Loader {
 public:
  /// Batches that lie in memory: one in use, one ready, and one being made.
  static constexpr int places = 3;

  /// Starts the workers. `dataset` must outlive the loader. Throws UsageError as check_loader_settings does.
  Loader(const Dataset& dataset, LoaderSettings settings);
  /// Stops and joins the workers.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch, epoch after epoch without end; valid until the next call. The last partial batch of an epoch is
  /// dropped. What a worker threw while making this batch is thrown here.
  const Batch& next();

  std::int64_t steps_per_epoch() const;
  /// Seconds that `next` has spent waiting for workers so far.
  double seconds_waited() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vergence
