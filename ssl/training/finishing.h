// What a run does besides its steps: pictures of the model's output for a few images, and re-estimated running
// statistics after training.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/picture_file.h"
#include "ssl/training/run_setup.h"

namespace vergence {

constexpr std::int64_t pictured_images = 8;

/// Writes folder/epoch_NNNN.png, and returns it: the objective's pictures of un-augmented, evenly spaced images of
/// "probe". Writes nothing if the objective has no pictures.
std::optional<Png> save_pictures(const RunSetup& run, const std::string& folder, std::int64_t epoch);

/// Both views of a batch's first images, side by side.
Png picture_of_views(const RunSetup& run, const Views& views);

/// Named values to show as histograms.
using Distributions = std::vector<std::pair<std::string, std::vector<float>>>;

/// Those of this step, and the objective's mask of features.
Distributions distributions_after(const Step& step, const Objective& objective);
/// Replaces the file at `path` by one with a tensor of rank 1 for each.
void save_distributions(const std::string& path, const Distributions& distributions);

/// The images for re-estimating running statistics: `batches` batches of settings.batch images in the order of (seed,
/// epoch), or fewer, as no image is used twice. `micro_batch`: a larger batch passes in parts of at most so many images
/// of each rank, each with statistics of its own; 0: whole.
struct Recalibration {
  std::int64_t batches = 200, micro_batch = 0;
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  DType activations = DType::f32;
};

/// Returns running statistics of an encoder over un-augmented images of `dataset`: the plain average over batches, or
/// over all of their parts, each normalized by its own statistics. Changes neither weights nor the encoder's own
/// statistics. Ranks share each batch.
Statistics recalibrated_statistics(const Encoder& encoder, const Dataset& dataset, const ExtractSettings& settings,
                                   const Recalibration& recalibration, Backend& backend, const Sharing& sharing = {});

/// The same for a run's encoder over its training images: the statistics of the encoder saved after the last step.
Statistics recalibrated_statistics(const RunSetup& run);

}  // namespace vergence
