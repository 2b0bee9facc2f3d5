// Batches of views, made by worker threads while the model trains. What a batch holds depends on the seed, the epoch
// and the step alone, never on the number of workers. The memory is that of a fixed ring of batches.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "datasets/dataset.h"
#include "kernels/views.h"

namespace vergence {

/// A second set of the same views, drawn anew: of the batch's images, or of as many others, half an epoch further on.
enum class FreshViews { none, same_images, other_images };

struct LoaderSettings {
  std::int64_t batch = 256;         // images per batch
  std::vector<ViewSettings> views;  // one per view, all of one size
  bool plain = false;               // also make the un-augmented, normalised batch
  std::int64_t plain_resize = 0;    // ViewSettings::resize of its images
  FreshViews fresh = FreshViews::none;
  std::uint64_t seed = 0;
  int workers = 1;  // threads, at least 1; they use no OpenMP
  /// The first batch to make; to resume after k steps of an epoch, first_step = k (it may equal steps_per_epoch).
  std::int64_t first_epoch = 0, first_step = 0;
};

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

/// The data set's order in one epoch: a permutation of 0 … count - 1, keyed by (seed, Purpose::order, epoch).
std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::int64_t epoch);

/// The images of step `step` of an epoch in this order; `fresh`: those of the second set of views.
std::vector<std::int64_t> batch_indices(const std::vector<std::int64_t>& order, std::int64_t batch, std::int64_t step,
                                        FreshViews fresh = FreshViews::none);

/// Throws UsageError for settings out of range and for a batch larger than the data set.
void check_loader_settings(const LoaderSettings& settings, const Dataset& dataset);

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
