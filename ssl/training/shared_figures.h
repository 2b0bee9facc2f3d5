// Figures of an encoder that several ranks compute together: each extracts the features of some of the images.
#pragma once

#include <cstdint>
#include <vector>

#include "ssl/evaluation/features/matrix.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/steps/world.h"

namespace vergence {

/// This rank's part of 0 ... count - 1: whole batches, so that all ranks' features equal those of one rank.
std::vector<std::int64_t> own_images(std::int64_t count, std::int64_t batch, const Sharing& sharing);

/// All ranks' features on every rank, in rank order.
Features gathered(World& world, const Features& own);

/// The accuracy for the queries of all ranks, from that for each rank's own (with their number).
KnnAccuracy gathered(World& world, const KnnAccuracy& own, std::int64_t queries);

}  // namespace vergence
