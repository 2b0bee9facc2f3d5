// The reconstruction error of images, over all, the erased or the visible pixels.
#pragma once

#include <array>

#include "engine/ranks.h"
#include "ssl/objectives/mrcl/masks.h"

namespace vergence {

/// Which pixels count: all, only the erased, or only the others.
enum class PixelRegion { all, masked, visible };
/// l2: squared differences; l1: absolute differences.
enum class PixelNorm { l2, l1 };

struct ReconstructionLoss {
  PatchGrid grid;
  PixelRegion region = PixelRegion::all;
  PixelNorm norm = PixelNorm::l2;
  bool patch_norm = false;  // normalize targets to mean 0 and deviation 1 in each patch
};

/// Returns the mean over the counted pixels and channels of (target - prediction)^2, or of its absolute value for l1:
/// rank 0. Both are [N, H, W, C]; the target is a constant. `lines` [N H G, 1]: 1 for lines of erased patches, of which
/// each image has `erased`; unused for `all`. None if no pixel counts.
Tensor reconstruction_loss(const Tensor& prediction, const Tensor& target, const Tensor& lines, std::int64_t erased,
                           const ReconstructionLoss& loss);

/// The same with both views in each tensor, [2N, H, W, C]: the sum of the two views' losses, each over its own counted
/// pixels. `erased`: patches per image of the first and the second view. None if no pixel counts.
Tensor reconstruction_of_views(const Tensor& prediction, const Tensor& target, const Tensor& lines,
                               const std::array<std::int64_t, 2>& erased, const ReconstructionLoss& loss);

/// Returns the deviation of each channel of images [M, H, W, C] over all pixels, of all ranks, at least 0.01: [C], a
/// constant.
Tensor channel_deviations(const Tensor& images, const Ranks& ranks = {});

/// Mean and deviation of each patch over its pixels and channels, per line [N H G, 1]: the target normalization of He,
/// Chen, Xie, Li, Dollar, Girshick: "Masked autoencoders are scalable vision learners" (CVPR 2022), where the deviation
/// is sqrt(unbiased variance + 1e-6).
struct PatchStatistics {
  Tensor mean, deviation;
};
PatchStatistics patch_statistics(const Tensor& images, const PatchGrid& grid);
/// (images - mean) / deviation.
Tensor normalize_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid);
/// images deviation + mean: the inverse of normalize_patches.
Tensor restore_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid);

}  // namespace vergence
