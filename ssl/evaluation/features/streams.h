// The random streams of evaluations: the `view` of generators with Purpose::probe. Never change these numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace vergence {

inline constexpr std::uint32_t order_stream = 0;       // the order of a probe's examples
inline constexpr std::uint32_t weight_stream = 1;      // a probe's first weights
inline constexpr std::uint32_t view_stream = 2;        // augmented images
inline constexpr std::uint32_t cluster_stream = 3;     // the first centers of k-means
inline constexpr std::uint32_t nuisance_stream = 4;    // the nuisance of each image
inline constexpr std::uint32_t dense_stream = 5;       // the order of a dense probe's images
inline constexpr std::uint32_t decoder_stream = 6;     // the order of a decoder's images
inline constexpr std::uint32_t episode_stream = 7;     // the classes and images of few-shot episodes
inline constexpr std::uint32_t corruption_stream = 8;  // the noise on an image
inline constexpr std::uint32_t subset_stream = 9;      // which images of a class a share of the labels has
inline constexpr std::uint32_t holdout_stream = 10;    // which images of a class settings are chosen on
inline constexpr std::uint32_t bootstrap_stream = 11;  // the images of a resample

/// Returns the numbers 0 ... count - 1 in random order (Fisher-Yates), drawn from (seed, Purpose::probe, epoch,
/// stream).
std::vector<std::int32_t> shuffled(std::int64_t count, std::uint64_t seed, std::int64_t epoch, std::uint32_t stream);

}  // namespace vergence
