#include "ssl/objectives/mrcl/reconstruction.h"

#include "engine/ops/ops.h"
#include "ssl/losses.h"

namespace vergence {

Tensor reconstruction_loss(const Tensor& prediction, const Tensor& target, const Tensor& lines, std::int64_t erased,
                           const ReconstructionLoss& loss) {
  const PatchGrid& grid = loss.grid;
  const Shape& s = target.shape;
  require(prediction.shape == s, "reconstruction: images ", prediction.shape, " for targets ", s);
  const bool all = loss.region == PixelRegion::all, masked = loss.region == PixelRegion::masked;
  const std::int64_t patches = all ? grid.patches() : masked ? erased : grid.patches() - erased;
  if (patches == 0) return {};
  const Tensor wanted = loss.patch_norm ? normalize_patches(target, patch_statistics(target, grid), grid) : target;
  const Tensor difference = patch_lines(wanted.detached() - prediction, grid);
  Tensor counted = difference;
  if (!all && erased > 0) counted = difference * (masked ? lines : 1 - lines);
  const Tensor total = loss.norm == PixelNorm::l1 ? sum(abs(counted)) : dot(counted, counted);
  return total / static_cast<double>(s[0] * patches * grid.patch * grid.patch * s[3]);
}

Tensor reconstruction_of_views(const Tensor& prediction, const Tensor& target, const Tensor& lines,
                               const std::array<std::int64_t, 2>& erased, const ReconstructionLoss& loss) {
  Tensor sum;
  for (const int which : {0, 1}) {
    const Tensor one =
        reconstruction_loss(view(prediction, which), view(target, which), lines ? view(lines, which) : lines,
                            erased[static_cast<std::size_t>(which)], loss);
    if (one) sum = sum ? sum + one : one;
  }
  return sum;
}

Tensor channel_deviations(const Tensor& images, const Ranks& ranks) {
  const Tensor pixels = images.detached();
  const double share = static_cast<double>(pixels.cols()) / static_cast<double>(pixels.size());
  const Tensor apart = pixels - ranks.mean(share * sum_over_rows(pixels));
  return sqrt(clamp_min(ranks.mean(share * dot_rows(apart, apart)), 1e-4));
}

PatchStatistics patch_statistics(const Tensor& images, const PatchGrid& grid) {
  const Tensor lines = patch_lines(images.detached(), grid);
  const auto values = static_cast<double>(grid.patch * lines.cols());
  require(values > 1, "patch statistics: a patch of one value has no deviation");
  const auto sums = [&](const Tensor& x) { return per_line(sum_of_lines(sum_cols(x), grid), grid); };
  const Tensor mean = sums(lines) / values;
  return {mean, sqrt(affine(sums(square(lines - mean)), 1 / (values - 1), 1e-6))};
}

Tensor normalize_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid) {
  const Tensor lines = patch_lines(images, grid);
  return reshape((lines - statistics.mean) / statistics.deviation, images.shape);
}

Tensor restore_patches(const Tensor& images, const PatchStatistics& statistics, const PatchGrid& grid) {
  const Tensor lines = patch_lines(images, grid);
  return reshape(lines * statistics.deviation + statistics.mean, images.shape);
}

}  // namespace vergence
