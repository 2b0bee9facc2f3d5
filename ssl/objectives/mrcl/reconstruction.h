// How far reconstructed images are from what they should be: over all pixels, the erased or the visible ones.
#pragma once

#include <array>

#include "ssl/objectives/mrcl/masks.h"

namespace vergence {

/// Which pixels count: all, the erased, or the others.
enum class PixelRegion { all, masked, visible };
/// l2: squares of differences; l1: magnitudes.
enum class PixelNorm { l2, l1 };

struct ReconstructionLoss {
  PatchGrid grid;
  PixelRegion region = PixelRegion::all;
  PixelNorm norm = PixelNorm::l2;
  bool patch_norm = false;  // targets with mean 0 and deviation 1 in each patch
};

/// The mean over counted pixels and channels of (target - prediction)^2, or its magnitude: rank 0. Both [N, H, W, C],
/// the target a constant. `lines`: per line [N H G, 1], 1 where erased, `erased` patches in each image; not read for
/// `all`. None where no pixel counts.
Tensor reconstruction_loss(const Tensor& prediction, const Tensor& target, const Tensor& lines, std::int64_t erased,
                           const ReconstructionLoss& loss);

/// The same for both views in one tensor each, [2N, H, W, C]: the sum of the two views' losses, each over its own
/// counted pixels. `erased`: patches in each image of the first and the second view. None where no pixel counts.
Tensor reconstruction_of_views(const Tensor& prediction, const Tensor& target, const Tensor& lines,
                               const std::array<std::int64_t, 2>& erased, const ReconstructionLoss& loss);

/// The deviation of each channel of images [M, H, W, C] over all pixels, at least 0.01: [C], a constant.
Tensor channel_deviations(const Tensor& images);

/// Mean and deviation of each patch over its pixels and channels, per line [N H G, 1]: the normalization of targets in
/// He, Chen, Xie, Li, Dollar, Girshick: "Masked autoencoders are scalable vision learners" (CVPR 2022), whose deviation
/// is sqrt(unbiased variance + 1e-6).
struct PatchStatistics {
  Tensor mean, deviation;
};
PatchStatistics patch_statistics(const Tensor& images, const PatchGrid& grid);
/// (images - mean) / deviation.
Tensor normalize_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid);
/// images deviation + mean: back again.
Tensor restore_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid);

}  // namespace vergence
