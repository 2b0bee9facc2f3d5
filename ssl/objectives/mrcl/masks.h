// Erased patches: square patches on a grid, the same number in each image.
//
// The device works on lines, the part of an image row within one patch: images [M, H, W, C] become [M H G, p C] (G
// patches per side, each p pixels wide), and values per patch [M G, G] become values per line [M H G, 1]. No H x W mask
// ever exists.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "ssl/step.h"

namespace vergence {

/// Square patches of square images.
struct PatchGrid {
  std::int64_t size = 32, patch = 4;  // side of images and of patches; the patch size divides the image size

  std::int64_t side() const { return size / patch; }
  std::int64_t patches() const { return side() * side(); }
  /// Returns the number of patches in a share of all: rounded to the nearest, halves away from zero.
  std::int64_t count(double share) const;
};

/// `patch` 0: an eighth of the image, or 32 pixels for images of 224 or more, about one cell of the encoder's last
/// stage. Throws UsageError, starting with `option`, for a size that does not divide the image.
PatchGrid patch_grid(std::int64_t image_size, std::int64_t patch, const char* option);

/// Draws which patches are erased: one byte each, row by row, `count` of them 1. Uniform without replacement.
std::vector<std::uint8_t> draw_patches(const PatchGrid& grid, std::int64_t count, Random random);

/// [M, H, W, C] -> [M H G, p C].
Tensor patch_lines(const Tensor& images, const PatchGrid& grid);
/// [M G, G], per patch -> [M H G, 1], per line.
Tensor per_line(const Tensor& per_patch, const PatchGrid& grid);
/// [M H G, 1] -> [M G, G]: sums over the lines of each patch. The transpose of per_line.
Tensor sum_of_lines(const Tensor& lines, const PatchGrid& grid);
/// Returns the images with `fill` in the erased lines: v (1 - m) + fill m. `erased` m: [M H G, 1], 1 or 0, of the
/// images' type. `fill`: none (0), a color [C], or images that are zero outside the erased lines.
Tensor erase(const Tensor& images, const Tensor& erased, const Tensor& fill, const PatchGrid& grid);

/// Joins the first view's rows of one tensor of both views with the second view's rows of another.
Tensor halves(const Tensor& first, const Tensor& second);

/// The erased patches of both views of a batch, in device memory, where a recorded step finds the patches of its step.
class PatchMasks {
 public:
  /// Erases `erased` patches in each image and view. `noise`: also makes normal noise for them, in `channels` channels.
  PatchMasks(const PatchGrid& grid, std::int64_t erased, bool noise, Backend& backend, std::int64_t channels = 3);

  /// The host's part of a step: draws from (seed, Purpose::mask, epoch, sample, view), uploads bytes and noise.
  void prepare(std::uint64_t seed, const StepContext& context);
  /// The same for `images` images outside any step: samples 0, 1, ... in one view of number `view`.
  void prepare_fixed(std::uint64_t seed, std::int64_t images, std::uint32_t view);

  /// [M H G, 1] per line, 1 if erased; for all prepared views, view after view.
  Tensor lines(DType dtype) const;
  /// [M, H, W, channels], zero outside the erased patches; none without noise.
  Tensor noise(DType dtype) const;

 private:
  /// What the draws of image `image` depend on.
  struct Key {
    std::uint32_t epoch = 0;
    std::uint64_t sample = 0;
    std::uint32_t view = 0;
  };

  void prepare(std::uint64_t seed, const std::vector<Key>& keys);
  void draw_noise(std::uint64_t seed, const Key& key, std::int64_t image);

  PatchGrid grid_;
  std::int64_t erased_;
  bool noise_;
  Backend& backend_;
  std::int64_t channels_;
  std::vector<std::uint8_t> map_host_;
  std::vector<float> noise_host_;
  std::vector<std::int32_t> rows_host_;
  Tensor map_;     // u8 [M G, G]
  Tensor values_;  // noise of the erased lines, then a line of zeros, f32 [M erased p + 1, C p]
  Tensor rows_;    // for each line of the batch its row of values_, i32 [M S G]
};

}  // namespace vergence
