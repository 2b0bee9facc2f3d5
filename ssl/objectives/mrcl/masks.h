// Erased patches of images: square patches on a grid, a fixed number of them in each image.
//
// On the device everything is done on lines: the part of an image's row that lies in one patch. Images [M, H, W, C]
// are [M H G, p C], one row per line (G patches a side, of p pixels); what is known per patch, [M G, G], becomes one
// value per line, [M H G, 1]. No mask of H x W ever exists.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "ssl/step.h"

namespace vergence {

/// Square patches of square images.
struct PatchGrid {
  std::int64_t size = 32, patch = 4;  // height and width of images and of patches; the one divides the other

  std::int64_t side() const { return size / patch; }
  std::int64_t patches() const { return side() * side(); }
  /// How many patches a share of them is: to the nearest, halves away from zero.
  std::int64_t count(double share) const;
};

/// `patch` 0: an eighth of the image, or 32 pixels from 224 on, about one cell of the encoder's last stage. Throws
/// UsageError, beginning with `option`, for one that does not divide the image.
PatchGrid patch_grid(std::int64_t image_size, std::int64_t patch, const char* option);

/// Which patches are erased: one byte each, row by row, `count` of them 1. Uniform without replacement.
std::vector<std::uint8_t> draw_patches(const PatchGrid& grid, std::int64_t count, Random random);

/// [M, H, W, C] -> [M H G, p C].
Tensor patch_lines(const Tensor& images, const PatchGrid& grid);
/// [M G, G], per patch -> [M H G, 1], per line.
Tensor per_line(const Tensor& per_patch, const PatchGrid& grid);
/// [M H G, 1] -> [M G, G]: the sum over the lines of each patch. The transpose of per_line.
Tensor sum_of_lines(const Tensor& lines, const PatchGrid& grid);
/// The images with `fill` in the erased lines: v (1 - m) + fill m. `erased`: [M H G, 1], 1 or 0, of the images' type.
/// `fill`: none (0), a color [C], or images that are zero where nothing is erased.
Tensor erase(const Tensor& images, const Tensor& erased, const Tensor& fill, const PatchGrid& grid);

/// The first view's rows of one tensor of both views and the second view's of another.
Tensor halves(const Tensor& first, const Tensor& second);

/// The erased patches of both views of a batch, in the device's memory, where a recorded step finds those of its step.
class PatchMasks {
 public:
  /// `erased` patches in each image and view. `noise`: also normal noise for them, in so many channels.
  PatchMasks(const PatchGrid& grid, std::int64_t erased, bool noise, Backend& backend, std::int64_t channels = 3);

  /// The host's part of a step: draws from (seed, Purpose::mask, epoch, sample, view), uploads bytes and noise.
  void prepare(std::uint64_t seed, const StepContext& context);
  /// The same for `images` images that belong to no step: those of sample 0, 1, ... in one view of number `view`.
  void prepare_fixed(std::uint64_t seed, std::int64_t images, std::uint32_t view);

  /// Per line [M H G, 1], 1 where erased; of all views prepared, view after view.
  Tensor lines(DType dtype) const;
  /// [M, H, W, channels], zero where nothing is erased; none without noise.
  Tensor noise(DType dtype) const;

 private:
  /// Where image `image` of the batch draws from.
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
  std::vector<std::int32_t> places_host_;
  Tensor map_;              // u8 [M G, G]
  Tensor values_, places_;  // noise of the erased lines, f32 [M erased p, C p], and which lines these are, i32
};

}  // namespace vergence
