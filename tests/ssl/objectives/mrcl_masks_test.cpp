// What MRCL is made of: masks and fills, reconstruction losses, against plain loops and published values.
#include <algorithm>
#include <array>
#include <cmath>
#include <gtest/gtest.h>
#include <set>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "ssl/losses.h"
#include "ssl/objectives/mrcl/reconstruction.h"
#include "tests/support/small_models.h"

namespace vergence {
namespace {

using Values = std::vector<double>;

std::int64_t ones(const std::vector<std::uint8_t>& map) { return std::count(map.begin(), map.end(), 1); }

// ---- masks

TEST(PatchMask, ErasesExactlyTheShareAsked) {
  EXPECT_EQ((PatchGrid{32, 4}.count(0.25)), 16);
  EXPECT_EQ((PatchGrid{224, 32}.count(0.25)), 12) << "12.25 of 49";
  EXPECT_EQ((PatchGrid{12, 4}.count(0.5)), 5) << "4.5 of 9: halves away from zero";
  EXPECT_EQ((PatchGrid{32, 4}.count(0)), 0);
  EXPECT_EQ((PatchGrid{32, 4}.count(1)), 64);
  for (const std::int64_t count : {0, 1, 16, 63, 64})
    for (std::uint64_t sample = 0; sample < 20; ++sample) {
      const std::vector<std::uint8_t> map = draw_patches({32, 4}, count, {1, Purpose::mask, 0, sample, 0});
      EXPECT_EQ(map.size(), 64u);
      EXPECT_EQ(ones(map), count);
    }
}

TEST(PatchMask, EveryPatchIsAsLikelyAndPairsToo) {
  const int draws = 20000;
  std::vector<double> single(16), pair(16);
  for (int sample = 0; sample < draws; ++sample) {
    const auto map = draw_patches({16, 4}, 4, {3, Purpose::mask, 1, static_cast<std::uint64_t>(sample), 1});
    for (std::size_t i = 0; i < 16; ++i) single[i] += map[i], pair[i] += map[0] && map[i];
  }
  for (std::size_t i = 0; i < 16; ++i) {
    EXPECT_NEAR(single[i] / draws, 4.0 / 16, 0.015) << i;
    EXPECT_NEAR(pair[i] / draws, i ? 4.0 * 3 / (16 * 15) : 4.0 / 16, 0.015) << i;
  }
}

TEST(PatchMask, PatchesFollowTheImageSize) {
  EXPECT_EQ(patch_grid(32, 0, "").patch, 4);
  EXPECT_EQ(patch_grid(64, 0, "").patch, 8);
  EXPECT_EQ(patch_grid(96, 0, "").patch, 12);
  EXPECT_EQ(patch_grid(224, 0, "").patch, 32);
  EXPECT_EQ(patch_grid(32, 8, "").patch, 8);
  EXPECT_THROW(patch_grid(32, 5, "--mrcl.mask_patch"), UsageError);
}

StepContext step_of(std::int64_t images, std::int64_t epoch = 0, std::span<const std::int64_t> indices = {}) {
  return {.lr = 0.1, .steps = 10, .epoch = epoch, .images = images, .indices = indices};
}

TEST(PatchMask, DependsOnSeedEpochSampleAndViewAlone) {
  const PatchGrid grid{16, 4};
  const auto lines = [&](std::uint64_t seed, const StepContext& context) {
    PatchMasks masks(grid, 5, false, cpu_backend());
    masks.prepare(seed, context);
    const Values values = masks.lines(DType::f64).values();
    std::vector<Values> images;  // of both views
    const std::size_t length = values.size() / static_cast<std::size_t>(2 * context.images);
    for (std::size_t at = 0; at < values.size(); at += length)
      images.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(at),
                          values.begin() + static_cast<std::ptrdiff_t>(at + length));
    return images;
  };
  const std::vector<std::int64_t> some{7, 2, 9}, others{2, 30, 7, 11};
  const auto a = lines(1, step_of(3, 4, some)), b = lines(1, step_of(4, 4, others));
  EXPECT_EQ(a[0], b[2]) << "sample 7, view 1";
  EXPECT_EQ(a[1], b[0]) << "sample 2, view 1";
  EXPECT_EQ(a[3], b[6]) << "sample 7, view 2";
  EXPECT_NE(a[0], a[3]) << "the two views";
  EXPECT_NE(a[0], a[1]) << "two samples";
  EXPECT_NE(a[0], lines(1, step_of(3, 5, some))[0]) << "two epochs";
  EXPECT_NE(a[0], lines(2, step_of(3, 4, some))[0]) << "two seeds";
  EXPECT_EQ(lines(1, step_of(3))[1], lines(1, step_of(8))[1]) << "without indices: places in the batch";
}

/// What the masks of a step say about each pixel of both views, [2N, size, size].
Values pixels_erased(const PatchMasks& masks, const PatchGrid& grid, std::int64_t images) {
  const Values lines = masks.lines(DType::f64).values();
  Values pixels;
  for (std::int64_t i = 0; i < 2 * images * grid.size * grid.size; ++i) {
    const std::int64_t x = i % grid.size, line = i / grid.size * grid.side() + x / grid.patch;
    pixels.push_back(lines[static_cast<std::size_t>(line)]);
  }
  return pixels;
}

TEST(PatchMask, IsConstantOnPatchesAndExactInEveryImage) {
  const PatchGrid grid{32, 4};
  PatchMasks masks(grid, 16, false, cpu_backend());
  masks.prepare(1, step_of(3));
  const Values pixels = pixels_erased(masks, grid, 3);
  for (std::size_t image = 0; image < 6; ++image) {
    double sum = 0;
    for (std::size_t i = 0; i < 1024; ++i) {
      const std::size_t y = i / 32, x = i % 32;
      const double value = pixels[image * 1024 + i];
      EXPECT_TRUE(value == 0 || value == 1);
      EXPECT_EQ(value, pixels[image * 1024 + y / 4 * 4 * 32 + x / 4 * 4]);
      sum += value;
    }
    EXPECT_EQ(sum, 256) << "16 patches of 16 pixels";
  }
}

TEST(PatchMask, ErasedPixelsHoldTheFillAndOthersAreUntouched) {
  const PatchGrid grid{12, 4};
  const std::int64_t images = 5;
  for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
    const std::int64_t channels = dtype == DType::bf16 ? 8 : 3;  // as a device makes views
    const Tensor views = random_tensor({2 * images, 12, 12, channels}, 1, dtype);
    PatchMasks masks(grid, 4, true, cpu_backend());
    masks.prepare(1, step_of(images));
    const Tensor noise = masks.noise(dtype), color = random_tensor({3}, 2, dtype);
    const Tensor mean = erase(views, masks.lines(dtype), {}, grid),
                 noisy = erase(views, masks.lines(dtype), pad(noise, 3, 0, channels), grid),
                 colored = erase(views, masks.lines(dtype), pad(color, 0, 0, channels), grid);
    const Values v = views.values(), pixels = pixels_erased(masks, grid, images), n = noise.values(),
                 c = color.values(), a = mean.values(), b = noisy.values(), d = colored.values();
    double sum = 0, squares = 0, count = 0;
    for (std::size_t i = 0; i < v.size(); ++i) {
      const std::size_t pixel = i / static_cast<std::size_t>(channels),
                        channel = i % static_cast<std::size_t>(channels);
      const bool gone = pixels[pixel] == 1, padding = channel >= 3;
      EXPECT_EQ(a[i], gone ? 0 : v[i]);
      EXPECT_EQ(d[i], gone ? (padding ? 0 : c[channel]) : v[i]);
      EXPECT_EQ(b[i], gone ? (padding ? 0 : n[pixel * 3 + channel]) : v[i]);
      if (padding) continue;
      EXPECT_TRUE(gone || n[pixel * 3 + channel] == 0);
      if (gone) sum += n[pixel * 3 + channel], squares += std::pow(n[pixel * 3 + channel], 2), ++count;
    }
    EXPECT_EQ(count, 10 * 4 * 16 * 3);
    EXPECT_NEAR(sum / count, 0, 0.1);
    EXPECT_NEAR(squares / count, 1, 0.1);
  }
}

TEST(PatchMask, NoiseDiffersBetweenImagesAndFollowsTheSample) {
  PatchMasks masks({8, 4}, 4, true, cpu_backend());  // all of it erased
  const std::vector<std::int64_t> indices{4, 9};
  masks.prepare(1, step_of(2, 0, indices));
  const Values noise = masks.noise(DType::f64).values();
  const std::size_t length = 8 * 8 * 3;
  // Two of the values may be neighbors that a processor's logarithm or cosine rounds together.
  std::set<double> seen(noise.begin(), noise.end());
  EXPECT_GT(seen.size(), 4 * length - 8) << "hardly a value twice";
  const std::vector<std::int64_t> turned{9, 4};
  masks.prepare(1, step_of(2, 0, turned));
  const Values again = masks.noise(DType::f64).values();
  EXPECT_TRUE(std::equal(noise.begin(), noise.begin() + length, again.begin() + length));
}

TEST(PatchMask, TheGradientOfALearnedColorIsThatOfItsPixels) {
  const PatchGrid grid{8, 2};
  PatchMasks masks(grid, 5, false, cpu_backend());
  masks.prepare(1, step_of(2));
  const Tensor views = leaf(random_tensor({4, 8, 8, 3}, 1)), color = leaf(random_tensor({3}, 2));
  const Tensor weights = random_tensor(views.shape, 3);
  const Tensors g = grad({dot(erase(views, masks.lines(DType::f64), color, grid), weights)}, {views, color});
  const Values pixels = pixels_erased(masks, grid, 2), w = weights.values(), views_gradient = g[0].values();
  Values expected(3);
  for (std::size_t i = 0; i < w.size(); ++i) {
    EXPECT_EQ(views_gradient[i], pixels[i / 3] ? 0 : w[i]);
    expected[i % 3] += pixels[i / 3] * w[i];
  }
  for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(g[1].values()[c], expected[c], 1e-12);
}

// ---- reconstruction

TEST(Reconstruction, GivesThePublishedValues) {
  const PatchGrid grid{4, 2};
  Values v, prediction;
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 4; ++x) {
      v.push_back(std::sin(0.5 * (4 * y + x)));
      prediction.push_back(0.9 * v.back() + 0.05 * (x - y));
    }
  const Tensor target = from_values(cpu_backend(), {1, 4, 4, 1}, v),
               image = from_values(cpu_backend(), {1, 4, 4, 1}, prediction);
  const Tensor lines = per_line(from_values(cpu_backend(), {2, 2}, {0, 1, 1, 0}), grid);
  const auto loss = [&](PixelRegion region) {
    return reconstruction_loss(image, target, lines, 2, {.grid = grid, .region = region}).item();
  };
  EXPECT_NEAR(loss(PixelRegion::all), 0.0077629, 5e-8);
  EXPECT_NEAR(loss(PixelRegion::masked), 0.0068557, 5e-8);
  EXPECT_NEAR(loss(PixelRegion::visible), 0.0086700, 5e-8);
  const double variance = mean(square(target - mean(target))).item();
  EXPECT_NEAR(1 - loss(PixelRegion::all) / variance, 0.983331, 5e-7);
}

TEST(Reconstruction, GivesThePublishedValuesOfTheBaseLosses) {
  Values first, second;
  for (int i = 0; i < 6; ++i)
    for (int c = 0; c < 3; ++c) first.push_back(std::sin(1 + 3 * i + c)), second.push_back(std::sin(1.3 + 3 * i + c));
  Values both = first, turned = second;
  both.insert(both.end(), second.begin(), second.end());
  turned.insert(turned.end(), first.begin(), first.end());
  const Tensor z = from_values(cpu_backend(), {12, 3}, both), other = from_values(cpu_backend(), {12, 3}, turned);
  EXPECT_NEAR(nt_xent(z, 0.5).item(), 1.569744, 5e-7);
  EXPECT_NEAR(std::log(11.0) - nt_xent(z, 0.5).item(), 0.828151, 5e-7);
  EXPECT_NEAR(byol(z, z).item(), 2 * 0.081793, 1e-6) << "both directions";
}

/// Mean and deviation of each patch of one image, per pixel and channel.
void normalize_by_loops(Values& image, std::size_t size, std::size_t patch, std::size_t channels) {
  for (std::size_t top = 0; top < size; top += patch)
    for (std::size_t left = 0; left < size; left += patch) {
      std::vector<double*> values;
      for (std::size_t y = top; y < top + patch; ++y)
        for (std::size_t i = (y * size + left) * channels; i < (y * size + left + patch) * channels; ++i)
          values.push_back(&image[i]);
      const auto count = static_cast<double>(values.size());
      double mean = 0, variance = 0;
      for (const double* value : values) mean += *value / count;
      for (const double* value : values) variance += std::pow(*value - mean, 2) / (count - 1);
      for (double* value : values) *value = (*value - mean) / std::sqrt(variance + 1e-6);
    }
}

TEST(Reconstruction, IsTheMeanOverWhatCountsInEveryForm) {
  const PatchGrid grid{12, 4};
  const std::int64_t images = 3, erased = 4;
  PatchMasks masks(grid, erased, false, cpu_backend());
  masks.prepare(5, step_of(images));
  const Values pixels = pixels_erased(masks, grid, images);
  const Tensor prediction = random_tensor({2 * images, 12, 12, 3}, 1),
               target = random_tensor({2 * images, 12, 12, 3}, 2);
  for (const PixelRegion region : {PixelRegion::all, PixelRegion::masked, PixelRegion::visible})
    for (const PixelNorm norm : {PixelNorm::l2, PixelNorm::l1})
      for (const bool patch_norm : {false, true})
        for (const std::array<std::int64_t, 2>& per_view :
             {std::array<std::int64_t, 2>{erased, erased}, {erased, 0}, {0, erased}}) {
          const Tensor loss = reconstruction_of_views(prediction, target, masks.lines(DType::f64), per_view,
                                                      {grid, region, norm, patch_norm});
          const Values p = prediction.values(), t = target.values();
          double expected = 0;
          for (std::size_t view = 0; view < 2; ++view) {
            double sum = 0, count = 0;
            for (std::size_t image = view * images; image < (view + 1) * images; ++image) {
              const std::size_t length = 12 * 12 * 3;
              Values wanted(t.begin() + static_cast<std::ptrdiff_t>(image * length),
                            t.begin() + static_cast<std::ptrdiff_t>((image + 1) * length));
              if (patch_norm) normalize_by_loops(wanted, 12, 4, 3);
              for (std::size_t i = 0; i < length; ++i) {
                const double m = per_view[view] ? pixels[image * 144 + i / 3] : 0;
                const double weight = region == PixelRegion::all ? 1 : region == PixelRegion::masked ? m : 1 - m;
                const double difference = std::abs(wanted[i] - p[image * length + i]);
                sum += weight * (norm == PixelNorm::l2 ? difference * difference : difference);
                count += weight;
              }
            }
            if (count > 0) expected += sum / count;
          }
          EXPECT_NEAR(loss.item(), expected, 1e-12 * (1 + expected))
              << static_cast<int>(region) << static_cast<int>(norm) << patch_norm << per_view[0];
        }
}

TEST(Reconstruction, HasNoLossWhereNothingCounts) {
  const PatchGrid grid{8, 4};
  const Tensor images = random_tensor({2, 8, 8, 3}, 1);
  EXPECT_FALSE(reconstruction_loss(images, images, {}, 0, {.grid = grid, .region = PixelRegion::masked}));
  EXPECT_FALSE(reconstruction_loss(images, images, {}, 4, {.grid = grid, .region = PixelRegion::visible}));
}

TEST(Reconstruction, RestoredPatchesAreTheImagesAgain) {
  const PatchGrid grid{8, 2};
  const Tensor images = random_tensor({2, 8, 8, 3}, 1);
  const PatchStatistics statistics = patch_statistics(images, grid);
  const Values back = restore_patches(normalize_patches(images, statistics, grid), statistics, grid).values(),
               wanted = images.values();
  for (std::size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(back[i], wanted[i], 1e-12);
}

}  // namespace
}  // namespace vergence
