// Does a classifier hold on images that are worse than those it was fitted on? Noise, hue and blur at one strength
// each, for test images alone; after the idea of Hendrycks, Dietterich, "Benchmarking neural network robustness to
// common corruptions and perturbations", ICLR 2019, whose images are others.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"

namespace vergence {

enum class Corruption {
  noise,  // normal, noise_deviation of the range of a channel, independent for every value; cut off at black and white
  hue,    // turned by hue_turn of the color circle
  blur    // Gaussian, blur_sigma of the image's side: a pixel at 32 x 32
};
inline constexpr std::array<Corruption, 3> corruptions{Corruption::noise, Corruption::hue, Corruption::blur};
inline constexpr double noise_deviation = 0.1, hue_turn = 0.25, blur_sigma = 1.0 / 32;

const char* name_of(Corruption corruption);

/// Whether these images can be corrupted so: hue is one of images in color.
bool has_meaning(Corruption corruption, const Dataset& images);

/// Every image corrupted, rounded to bytes, labels kept. The noise of image i is drawn from (seed, Purpose::probe,
/// split, i, corruption_stream), two numbers a value in the order of the bytes. Throws UsageError for images that are
/// not square, and for a corruption that has no meaning for them.
Dataset with_corruption(const Dataset& images, Corruption corruption, std::uint64_t seed);

/// The same images clean and, in the order of `corruptions`, corrupted; none where that has no meaning.
struct CorruptedFeatures {
  Features clean;
  std::array<std::optional<Features>, corruptions.size()> changed;
};

/// Of `dataset` as the encoder sees it: images are corrupted at the size it takes.
CorruptedFeatures corrupted_features(const Encode& encode, const Dataset& dataset, ExtractSettings extract,
                                     std::uint64_t seed, Backend& backend);

/// Top-1 in per cent of one classifier.
struct CorruptionAccuracy {
  double clean = 0;
  std::array<std::optional<double>, corruptions.size()> changed;

  /// Points below `clean`, on average over the corruptions there are.
  double mean_drop() const;
};

CorruptionAccuracy corruption_accuracy(const CorruptedFeatures& features,
                                       const std::function<double(const Features&)>& top1);

}  // namespace vergence
