// What a run does beside its steps: pictures of what the model makes of a few images, and running statistics estimated
// anew once training is over.
#pragma once

#include <cstdint>
#include <string>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/training/run_setup.h"

namespace vergence {

constexpr std::int64_t pictured_images = 8;

/// Writes folder/epoch_NNNN.png: the objective's pictures of images of "probe", at equal distances, un-augmented.
/// Nothing where it has none.
void save_pictures(const RunSetup& run, const std::string& folder, std::int64_t epoch);

/// Which images running statistics are estimated from: `batches` of settings.batch images, or as many as there are
/// without taking an image twice, in the order that (seed, epoch) give.
struct Recalibration {
  std::int64_t batches = 200;
  std::uint64_t seed = 0;
  std::int64_t epoch = 0;
  DType activations = DType::f32;
};

/// Running statistics of an encoder over un-augmented images of `dataset`: the plain average over batches, each
/// normalized by its own statistics. Nothing is trained, and the encoder's own statistics stay as they are.
Statistics recalibrated_statistics(const Encoder& encoder, const Dataset& dataset, const ExtractSettings& settings,
                                   const Recalibration& recalibration, Backend& backend);

/// Those of a run's encoder, over its training images: what the saved encoder gets after the last step.
Statistics recalibrated_statistics(const RunSetup& run);

}  // namespace vergence
