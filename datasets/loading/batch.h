// A batch: its settings, its images, and its views as the model receives them. All depends only on seed, epoch and
// step, wherever the views are made.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/tensor.h"
#include "kernels/views.h"

namespace vergence {

struct Dataset;

/// A second set of newly drawn views: of the batch's images, or of as many others, half an epoch later.
enum class FreshViews { none, same_images, other_images };

struct LoaderSettings {
  std::int64_t batch = 256;         // images per batch, of all ranks together
  int rank = 0, ranks = 1;          // each makes an equal, consecutive part of every batch
  std::vector<ViewSettings> views;  // one per view, all of the same size
  bool plain = false;               // also make the un-augmented, normalized batch
  std::int64_t plain_resize = 0;    // ViewSettings::resize for it
  FreshViews fresh = FreshViews::none;
  std::uint64_t seed = 0;
  int workers = 1;  // threads, at least 1; they use no OpenMP
  /// The first batch; to resume after k steps of an epoch, first_step = k (it may equal steps_per_epoch).
  std::int64_t first_epoch = 0, first_step = 0;

  /// Images of each batch that this rank makes.
  std::int64_t own_batch() const { return batch / ranks; }
  /// Views per image: these, the fresh ones and the plain one.
  std::int64_t views_per_image() const {
    const auto count = static_cast<std::int64_t>(views.size());
    return count * (fresh == FreshViews::none ? 1 : 2) + (plain ? 1 : 0);
  }
  /// The un-augmented view.
  ViewSettings plain_view() const {
    return ViewSettings::plain(views[0].size, plain_resize, views[0].mean, views[0].std, views[0].channels);
  }
};

/// One batch of N images, or a rank's part of it, as the model receives it.
struct Views {
  Tensor both;     // [2N, H, W, C]: the first view of every image, then the second
  Tensor plain{};  // [N, H, W, C]: the images un-augmented, normalized; only if the settings ask for it
  Tensor fresh{};  // like `both`, newly drawn; only if the settings ask for it

  std::int64_t images() const { return both.shape[0] / 2; }
};

/// The data set's order in one epoch: a permutation of 0 … count - 1, keyed by (seed, Purpose::order, epoch).
std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed, std::int64_t epoch);

/// This rank's images of step `step` of an epoch in this order; with `fresh`, those of the second set of views.
std::vector<std::int64_t> batch_indices(const std::vector<std::int64_t>& order, const LoaderSettings& settings,
                                        std::int64_t step, FreshViews fresh = FreshViews::none);

/// Throws UsageError for settings out of range, for a batch larger than the data set, and for one that the ranks cannot
/// share equally.
void check_loader_settings(const LoaderSettings& settings, const Dataset& dataset);

}  // namespace vergence
