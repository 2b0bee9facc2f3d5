// What the features still tell about an image beside its class: linear probes that predict how an image was changed.
// An encoder trained to ignore such changes scores near chance (25); one that keeps more of the image scores higher,
// which serves tasks other than classification.
#pragma once

#include <array>
#include <cstdint>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"

namespace vergence {

enum class Nuisance {
  rotation,  // turned counter-clockwise by 0, 90, 180 or 270 degrees
  hue,       // hue shifted by 0, 1/4, 1/2 or 3/4 of the color circle
  crop       // one quarter of the image: upper left, upper right, lower left, lower right
};
inline constexpr std::array<Nuisance, 3> nuisances{Nuisance::rotation, Nuisance::hue, Nuisance::crop};
inline constexpr std::int64_t nuisance_classes = 4;  // of each, in the order above

const char* name_of(Nuisance nuisance);

/// Whether there is such a nuisance of these images: hue is one of images in color.
bool has_meaning(Nuisance nuisance, const Dataset& images);

/// Every image changed in one of the four ways, drawn from (seed, split, place in the data set); the label says which.
/// Throws UsageError for images that are not square or smaller than 2 x 2, and for a nuisance that has no meaning for
/// them.
Dataset with_nuisance(const Dataset& images, Nuisance nuisance, std::uint64_t seed);

/// Top-1 in per cent of a linear probe trained on `train` with the nuisance and tested on `test` with it.
double nuisance_accuracy(const Encode& encode, const Dataset& train, const Dataset& test, Nuisance nuisance,
                         const ExtractSettings& extract, const ProbeSettings& probe, Backend& backend);

}  // namespace vergence
