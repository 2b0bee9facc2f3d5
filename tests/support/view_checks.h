// Checks a device's views against the CPU's views of single images, which views_test checks against plain loops. For
// every device of this build and the emulated one.
#pragma once

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "datasets/loading/device_source.h"
#include "datasets/loading/loader.h"
#include "datasets/shapes/confounded_shapes.h"
#include "tests/support/checked_backend.h"
#include "tests/support/image_tree.h"

namespace vergence::test {

struct ViewCase {
  std::string name;
  std::int64_t images, height, width;
  std::vector<ViewSettings> views;
  std::int64_t channels;
  DType dtype;
  std::int64_t offset = 0;  // of the output, in elements, for unaligned addresses
};

inline std::ostream& operator<<(std::ostream& out, const ViewCase& row) { return out << row.name; }

/// The published recipes' settings, for CIFAR's mean and deviation.
inline ViewSettings simclr_view(std::int64_t size) {
  ViewSettings settings;
  settings.size = size;
  settings.mean = {0.4914f, 0.4822f, 0.4465f};
  settings.std = {0.2470f, 0.2435f, 0.2616f};
  return settings;
}
inline std::vector<ViewSettings> byol_views(std::int64_t size) {
  ViewSettings first = simclr_view(size), second = first;
  for (ViewSettings* settings : {&first, &second}) {
    settings->interpolation = Interpolation::bilinear;
    settings->brightness = settings->contrast = 0.4f;
    settings->saturation = 0.2f;
    settings->hue = 0.1f;
  }
  first.blur_p = 1.0f;
  second.blur_p = 0.1f;
  second.solarize_p = 0.5f;
  return {first, second};
}

inline std::vector<ViewCase> view_cases() {
  const auto simclr = [](std::int64_t size) { return std::vector<ViewSettings>(2, simclr_view(size)); };
  std::vector<ViewSettings> ten(10, simclr_view(8));
  for (std::size_t v = 0; v < ten.size(); ++v) ten[v].mean[0] = 0.1f * static_cast<float>(v);
  ViewSettings thin = simclr_view(16), flat = thin;  // crops of one column, and of one row
  thin.ratio_low = thin.ratio_high = 0.01f, flat.ratio_low = flat.ratio_high = 100;
  thin.crop_low = thin.crop_high = flat.crop_low = flat.crop_high = 1;
  const ViewSettings plain = ViewSettings::plain(16, 0, {0.5f, 0.4f, 0.3f}, {0.2f, 0.25f, 0.3f});
  return {
      {"simclr_32", 24, 32, 32, simclr(32), 8, DType::bf16},
      {"simclr_32_three_channels", 12, 32, 32, simclr(32), 3, DType::f32},
      {"every_order", 200, 32, 32, simclr(16), 3, DType::f32},
      {"byol_shrinking", 12, 96, 96, byol_views(32), 8, DType::f32},
      {"byol_oblong", 24, 40, 28, byol_views(24), 3, DType::bf16},
      {"oblong_bicubic", 24, 28, 40, simclr(24), 8, DType::bf16},
      {"large", 10, 20, 20, simclr(70), 8, DType::bf16},
      {"large_byol", 5, 50, 90, byol_views(45), 3, DType::f32},
      {"wide_image", 3, 5, 1100, {simclr_view(8), ViewSettings::plain(8, 0, {}, {1, 1, 1})}, 8, DType::f32},
      {"crops_of_a_line", 4, 32, 32, {thin, flat}, 3, DType::f32},
      {"ten_views", 7, 9, 9, ten, 8, DType::f32},
      {"unaligned", 3, 32, 32, simclr(32), 8, DType::bf16, 1},
      {"plain_same_size", 4, 16, 16, {plain}, 8, DType::f32},
      {"plain_oblong", 4, 23, 200, {plain}, 3, DType::f32},
      {"plain_center", 4, 23, 40, {ViewSettings::plain(16, 18, {}, {1, 1, 1})}, 3, DType::f32},
  };
}

inline std::vector<std::uint8_t> random_bytes(std::int64_t count) {
  Random random(1, Purpose::test);
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    // Runs of equal pixels, whose hue is undefined, and noise.
    bytes[i] = i / 96 % 5 == 0 ? static_cast<std::uint8_t>(i / 96) : static_cast<std::uint8_t>(random.below(256));
  return bytes;
}

/// Expects every value within 2e-5 of the CPU's, plus bf16's rounding.
inline void expect_views_close(const std::vector<double>& got, const std::vector<float>& expected,
                               std::int64_t channels, DType dtype) {
  ASSERT_EQ(got.size() * 3, expected.size() * static_cast<std::size_t>(channels));
  std::size_t wrong = 0;
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto width = static_cast<std::size_t>(channels);
    const std::size_t pixel = i / width, channel = i % width;
    const double value = channel < 3 ? expected[3 * pixel + channel] : 0;
    const double allowed = channel < 3 ? 2e-5 + (dtype == DType::bf16 ? std::abs(value) / 256 : 0) : 0;
    worst = std::max(worst, std::abs(got[i] - value));
    if (!(std::abs(got[i] - value) <= allowed) && wrong++ == 0)
      ADD_FAILURE() << "value " << i << " is " << got[i] << ", the CPU's " << value;
  }
  EXPECT_EQ(wrong, 0u) << "of " << got.size() << "; worst difference " << worst;
}

/// Checks one case on one device: all images of the batch, in reverse order.
inline void check_views_on(const ViewCase& row, Backend& real) {
  CheckedBackend backend(real);
  const ViewBatch batch{row.views, 7, Purpose::view, row.height, row.width, row.channels};
  const std::vector<std::uint8_t> pixels = random_bytes(row.images * row.height * row.width * 3);
  std::vector<std::int32_t> order;
  for (std::int64_t i = row.images; i > 0; --i) order.push_back(static_cast<std::int32_t>(i - 1));
  const std::int32_t epoch = 3;
  std::vector<float> expected;
  for (std::size_t v = 0; v < row.views.size(); ++v)
    for (std::int32_t index : order) {
      std::vector<float> view(static_cast<std::size_t>(3 * batch.size() * batch.size()));
      make_view(pixels.data() + index * row.height * row.width * 3, row.height, row.width, row.views[v],
                Random(7, Purpose::view, epoch, static_cast<std::uint64_t>(index), static_cast<std::uint32_t>(v)),
                view.data());
      expected.insert(expected.end(), view.begin(), view.end());
    }
  {
    const Tensor images = from_bytes(backend, {row.images, row.height, row.width, 3}, pixels.data());
    const Tensor indices = from_indices(backend, order), now = from_indices(backend, {epoch});
    const auto values = static_cast<std::int64_t>(row.views.size() * order.size()) * batch.view_size();
    std::vector<double> first;
    for (int time = 0; time < 2; ++time) {
      const Tensor whole = empty(backend, {row.offset + values}, row.dtype);
      const Tensor out = part_of(whole, row.offset, {values});
      backend.make_views(batch, images.array(), indices.array(), now.array(), out.array());
      const std::vector<double> got = out.values();
      if (time == 0) {
        first = got;
        expect_views_close(got, expected, row.channels, row.dtype);
      } else {
        EXPECT_EQ(got, first) << "made twice, the views differ";
      }
    }
  }
  for (const std::string& problem : backend.problems()) ADD_FAILURE() << problem;
}

// ---- the device's source of batches

inline LoaderSettings small_batches() {
  LoaderSettings settings;
  settings.batch = 8;
  settings.views.assign(2, simclr_view(16));
  settings.plain = true;
  settings.seed = 5;
  return settings;
}

/// Expects the Loader's batches, across two ends of an epoch and after a jump back.
inline void check_device_source_on(Backend& real, const Dataset& data, const LoaderSettings& settings) {
  CheckedBackend backend(real);
  {
    Loader loader(data, settings);
    DeviceSource made({data, settings, backend});
    std::vector<double> second;
    for (std::int64_t number = 0; number < 12; ++number) {
      const Batch& expected = loader.next();
      made.prepare(number);
      const Views views = made.make();
      EXPECT_EQ(made.epoch(), expected.epoch);
      EXPECT_EQ(made.indices(), expected.indices);
      expect_views_close(views.both.values(), expected.views, 3, DType::f32);
      if (data.source)
        expect_views_close(views.plain.values(), expected.plain, 3, DType::f32);
      else
        EXPECT_EQ(views.plain.floats(), expected.plain);
      if (settings.fresh != FreshViews::none) expect_views_close(views.fresh.values(), expected.fresh, 3, DType::f32);
      if (number == 1) second = views.both.values();
    }
    made.prepare(1);
    EXPECT_EQ(made.make().both.values(), second);
  }
  for (const std::string& problem : backend.problems()) ADD_FAILURE() << problem;
}

inline void check_device_source_on(Backend& real, FreshViews fresh = FreshViews::none) {
  LoaderSettings settings = small_batches();
  settings.fresh = fresh;
  const Dataset data = render_shapes({.image_size = 16}, "probe", 45);
  check_device_source_on(real, data, settings);
  settings.rank = 1, settings.ranks = 2;
  check_device_source_on(real, data, settings);
}

/// The same for image files, each with its own size, two of which cannot be decoded.
inline void check_device_source_of_files_on(Backend& real) {
  ImageTree images;
  images.classes("train", 22);
  images.cut_in_half("train/a/107.png");
  images.cut_in_half("train/b/121.png");                                            // the last: the first replaces it
  const std::vector<std::uint8_t> wide = random_bytes(std::int64_t{3} * 4 * 1100);  // a row fills a block's memory
  std::vector<std::string> rows;
  for (auto row = wide.begin(); row != wide.end(); row += 3 * 1100) rows.emplace_back(row, row + 3 * 1100);
  images.write("train/a/wide.png", png_file(rows, 1100, {}));
  DatasetSettings settings;
  settings.name = "image_folder";
  settings.directory = images.path();
  settings.bad_images = BadImagePolicy::skip;
  LoaderSettings batches = small_batches();
  batches.plain_resize = 18;
  batches.fresh = FreshViews::other_images;
  const Dataset data = open_dataset(settings, "train");
  check_device_source_on(real, data, batches);
  EXPECT_EQ(data.source->bad_images().count(), 2);
}

/// Expects that one recording makes every batch.
inline void check_recorded_source_on(Backend& backend) {
  if (!backend.traits().records) GTEST_SKIP() << backend.name() << " cannot record";
  const Dataset data = render_shapes({.image_size = 16}, "probe", 45);
  // Larger than what fits into a block's shared memory: the working memory belongs to the recording.
  for (std::int64_t size : {16, 40}) {
    LoaderSettings settings = small_batches();
    settings.fresh = FreshViews::other_images;
    for (ViewSettings& view : settings.views) view.size = size;
    DeviceSource plainly({data, settings, backend, DType::bf16}), recorded({data, settings, backend, DType::bf16});
    recorded.prepare(0);
    backend.begin_recording();
    const Views replayed = recorded.make();
    const std::unique_ptr<Recording> recording = backend.end_recording();
    for (std::int64_t number : {0, 1, 4, 5, 2}) {
      plainly.prepare(number);
      const Views made = plainly.make();
      recorded.prepare(number);
      recording->replay();
      EXPECT_EQ(replayed.both.values(), made.both.values()) << "batch " << number;
      EXPECT_EQ(replayed.plain.values(), made.plain.values()) << "batch " << number;
      EXPECT_EQ(replayed.fresh.values(), made.fresh.values()) << "batch " << number;
    }
  }
}

}  // namespace vergence::test
