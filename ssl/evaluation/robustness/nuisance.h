// What features reveal about an image besides its class: linear probes predict how an image was changed. An encoder
// trained to ignore such changes scores near chance (25); one that retains more of the image scores higher, which helps
// tasks other than classification.
#pragma once

#include <array>
#include <cstdint>

#include "datasets/dataset.h"
#include "ssl/evaluation/features/features.h"
#include "ssl/evaluation/probes/probe.h"

namespace vergence {

enum class Nuisance {
  rotation,  // rotated counter-clockwise by 0, 90, 180 or 270 degrees
  hue,       // hue shifted by 0, 1/4, 1/2 or 3/4 of the color circle
  crop       // one quarter of the image: upper left, upper right, lower left, lower right
};
inline constexpr std::array<Nuisance, 3> nuisances{Nuisance::rotation, Nuisance::hue, Nuisance::crop};
inline constexpr std::int64_t nuisance_classes = 4;  // for each nuisance, in the order above

const char* name_of(Nuisance nuisance);

/// Returns whether the nuisance applies to these images: hue needs color.
bool has_meaning(Nuisance nuisance, const Dataset& images);

/// Returns every image changed in one of the four ways, drawn from (seed, split, index); the label is the way. Throws
/// UsageError for images not square or below 2 x 2, and for a nuisance that does not apply.
Dataset with_nuisance(const Dataset& images, Nuisance nuisance, std::uint64_t seed);

/// Returns the top-1, in percent, of a linear probe trained on `train` with the nuisance and tested on `test` with it.
double nuisance_accuracy(const Encode& encode, const Dataset& train, const Dataset& test, Nuisance nuisance,
                         const ExtractSettings& extract, const ProbeSettings& probe, Backend& backend);

}  // namespace vergence
