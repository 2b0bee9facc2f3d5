// Does a classifier still work on images worse than those it was trained on? Noise, hue and blur, each at one strength,
// on test images only. The idea is from Hendrycks, Dietterich, "Benchmarking neural network robustness to common
// corruptions and perturbations", ICLR 2019, which uses other images.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"

namespace vergence {

enum class Corruption {
  noise,  // normal, with noise_deviation of a channel's range, independent for every value; clipped at black and white
  hue,    // rotated by hue_turn of the color circle
  blur    // Gaussian, with blur_sigma of the image's side: one pixel at 32 x 32
};
inline constexpr std::array<Corruption, 3> corruptions{Corruption::noise, Corruption::hue, Corruption::blur};
inline constexpr double noise_deviation = 0.1, hue_turn = 0.25, blur_sigma = 1.0 / 32;

const char* name_of(Corruption corruption);

/// Returns whether the corruption applies to these images: hue needs color.
bool has_meaning(Corruption corruption, const Dataset& images);

/// Returns every image corrupted and rounded to bytes; keeps the labels. The noise of image i is drawn from (seed,
/// Purpose::probe, split, i, corruption_stream), two numbers per value in byte order. Throws UsageError for images that
/// are not square, and for a corruption that does not apply.
Dataset with_corruption(const Dataset& images, Corruption corruption, std::uint64_t seed);

/// The features of the same images clean and, in the order of `corruptions`, corrupted; none for one that does not
/// apply.
struct CorruptedFeatures {
  Features clean;
  std::array<std::optional<Features>, corruptions.size()> changed;
};

/// Corrupts the images of `dataset` as the encoder sees them, at its image size.
CorruptedFeatures corrupted_features(const Encode& encode, const Dataset& dataset, ExtractSettings extract,
                                     std::uint64_t seed, Backend& backend);

/// Top-1 of one classifier, in percent.
struct CorruptionAccuracy {
  double clean = 0;
  std::array<std::optional<double>, corruptions.size()> changed;

  /// Percentage points below `clean`, averaged over the corruptions that apply.
  double mean_drop() const;
};

CorruptionAccuracy corruption_accuracy(const CorruptedFeatures& features,
                                       const std::function<double(const Features&)>& top1);

}  // namespace vergence
