// Views made by each device of this build, and the source of batches that goes with them.
#include "datasets/loading/device_source.h"

#include "datasets/loading/host_source.h"
#include "tests/support/complaints.h"
#include "tests/support/view_checks.h"

namespace vergence::test {
namespace {

TEST(DeviceViews, AgreeWithTheCpusOfSingleImages) {
  for (Backend* device : backends())
    for (const ViewCase& row : view_cases()) {
      SCOPED_TRACE(join(device->name(), ", ", row.name));
      check_views_on(row, *device);
    }
}

TEST(DeviceViews, AreTheSameBitsOnTheCpu) {
  const Dataset data = render_shapes({.image_size = 16}, "probe", 45);
  Loader loader(data, small_batches());
  DeviceSource made({data, small_batches(), cpu_backend()});
  made.prepare(0);
  EXPECT_EQ(made.make().both.floats(), loader.next().views);
}

TEST(DeviceSource, BatchesAreTheLoaders) {
  for (Backend* device : backends()) {
    SCOPED_TRACE(device->name());
    for (FreshViews fresh : {FreshViews::none, FreshViews::same_images, FreshViews::other_images})
      check_device_source_on(*device, fresh);
  }
}

TEST(DeviceSource, ImagesOfFilesAreTheLoaders) {
  for (Backend* device : backends()) {
    SCOPED_TRACE(device->name());
    check_device_source_of_files_on(*device);
  }
}

TEST(DeviceSource, ARecordingMakesEveryBatch) { check_recorded_source_on(*backends().back()); }

TEST(DeviceSource, WhatCannotBeIsRefused) {
  const auto complaint = [](const Dataset& data, const LoaderSettings& settings) {
    try {
      DeviceSource({data, settings, cpu_backend()});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  Dataset data = render_shapes({.image_size = 16}, "probe", 10);
  EXPECT_EQ(complaint(data, small_batches()), "accepted");
  Dataset gray = data;
  gray.channels = 1;
  LoaderSettings of_gray = small_batches();
  EXPECT_EQ(complaint(gray, of_gray), "loader: the channels of confounded_shapes are 1, the views expect 3");
  for (ViewSettings& view : of_gray.views) view = ViewSettings::identity(view.size, 1);
  EXPECT_EQ(complaint(gray, of_gray), "the 10 images of confounded_shapes probe have other than 3 channels: 1");
  data.pixels.pop_back();
  EXPECT_EQ(complaint(data, small_batches()), "confounded_shapes probe: 7679 bytes of pixels, expected 7680");
  data.count = 7;
  EXPECT_EQ(complaint(data, small_batches()),
            "loader: a batch of 8 is larger than confounded_shapes probe with its 7 images");
}

/// A device with little memory left.
class SmallDevice final : public CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  std::int64_t free_memory() const override { return 9 << 20; }
};

TEST(DeviceSource, ImagesLeaveRoomForTheSteps) {
  SmallDevice device(cpu_backend());
  const Dataset data = render_shapes({.image_size = 16}, "probe", 10);  // 7680 bytes
  const std::int64_t most = (9 << 20) - 7680;
  EXPECT_NO_THROW(DeviceSource({data, small_batches(), device, DType::f32, most}));
  EXPECT_THROW(DeviceSource({data, small_batches(), device, DType::f32, most + 1}), NotOnDevice);
  EXPECT_EQ(why_not_on(device, data, 9 << 20),
            "the 10 images of confounded_shapes probe have 0 MiB, and cpu has 9 MiB free, of which training needs 9");
}

TEST(DeviceSource, TheHostTakesVeryLongImages) {
  ImageTree images;
  images.classes("train", 5);
  images.write("train/b/tall.png", png_file(std::vector<std::string>(32768, "rgb"), 1, {}));
  const DatasetSettings settings{.name = "image_folder", .directory = images.path()};
  EXPECT_EQ(why_not_on(cpu_backend(), open_dataset(settings, "train"), 0), "");
  images.write("train/b/tall.png", png_file(std::vector<std::string>(32769, "rgb"), 1, {}));
  const Dataset data = open_dataset(settings, "train");
  EXPECT_EQ(why_not_on(cpu_backend(), data, 0),
            "image_folder: train/b/tall.png has 32769 x 1 pixels, and a device takes sides up to 32768");
  LoaderSettings batches = small_batches();
  batches.plain_resize = 18;
  EXPECT_THROW(DeviceSource({data, batches, cpu_backend()}), NotOnDevice);
  HostSource host({data, batches, cpu_backend()});
  for (std::int64_t number = 0; number < 2; ++number) host.prepare(number);
}

/// Images of given sizes, image i of bytes i % 251; every seventh is bad.
class MadeImages final : public ImageSource {
 public:
  explicit MadeImages(std::vector<ImageSize> sizes) : ImageSource(BadImagePolicy::skip), sizes_(std::move(sizes)) {}

  std::int64_t count() const override { return static_cast<std::int64_t>(sizes_.size()); }
  ImageSize size(std::int64_t index) const override { return sizes_.at(static_cast<std::size_t>(index)); }
  std::string name(std::int64_t index) const override { return std::to_string(index); }
  ImageSize open(std::int64_t index, ImageBuffer&) const override { return size(index); }
  Picture read(std::int64_t index, const ImageRegion& region, ImageBuffer& buffer) const override {
    require_usage(!is_bad(index), index, ": is bad");
    buffer.bytes.assign(static_cast<std::size_t>(3 * region.height * region.width), static_cast<char>(index % 251));
    return {.pixels = reinterpret_cast<const std::uint8_t*>(buffer.bytes.data()),
            .height = region.height,
            .width = region.width};
  }
  void identify(Xxh128&) const override {}
  static bool is_bad(std::int64_t index) { return index % 7 == 6; }

 private:
  std::vector<ImageSize> sizes_;
};

TEST(DeviceSource, UploadsAreSmallHoweverLargeTheImagesAre) {
  const auto ends = [](std::vector<ImageSize> sizes) {
    const MadeImages images(std::move(sizes));
    std::vector<std::int64_t> ends;
    for (std::int64_t to = 0; to < images.count(); ends.push_back(to)) to = end_of_upload(images, to);
    return ends;
  };
  EXPECT_EQ(ends(std::vector<ImageSize>(600, {32, 32})), (std::vector<std::int64_t>{256, 512, 600}));
  EXPECT_EQ(ends(std::vector<ImageSize>(33, {4096, 5461})), (std::vector<std::int64_t>{16, 32, 33}));  // of 64 MiB
  EXPECT_EQ(ends(std::vector<ImageSize>(33, {4096, 5462})), (std::vector<std::int64_t>{15, 30, 33}));
  EXPECT_EQ(ends({{32, 32}, {30000, 30000}, {30000, 30000}, {32, 32}}), (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(DeviceSource, EveryUploadGoesToItsImages) {
  std::vector<ImageSize> sizes;
  for (std::int64_t i = 0; i < 600; ++i) sizes.push_back({1 + i % 5, 1 + i % 3});
  Dataset data;
  data.name = "made", data.split = "train";
  data.count = 600;
  data.source = std::make_shared<MadeImages>(sizes);
  const DeviceImages images(data, cpu_backend(), 0);
  const auto* pixels = static_cast<const std::uint8_t*>(images.pixels().data);
  for (std::int64_t i = 0; i < data.count; ++i) {
    const std::int64_t bytes = 3 * data.source->size(i).height * data.source->size(i).width;
    if (!MadeImages::is_bad(i)) {
      EXPECT_EQ(std::count(pixels, pixels + bytes, i % 251), bytes) << i;
    }
    EXPECT_EQ(images.replacement_of(i), MadeImages::is_bad(i) ? i + 1 : i);
    pixels += bytes;
  }
}

TEST(DeviceViews, HaveThreeChannelsOrEight) {
  ViewBatch batch{{simclr_view(8)}, 1, Purpose::view, 4, 4, 8};
  EXPECT_NO_THROW(check_view_batch(batch));
  batch.channels = 4;
  EXPECT_EQ(message_of([&] { check_view_batch(batch); }), "views: 4 channels, expected 3 or 8");
}

TEST(DeviceViews, AnIndexOutsideTheImagesIsAnError) {
  const ViewBatch batch{{simclr_view(8)}, 1, Purpose::view, 4, 4, 3};
  const Tensor pixels = from_bytes(cpu_backend(), {2, 4, 4, 3}, random_bytes(96).data());
  const Tensor out = empty(cpu_backend(), {8, 8, 3});
  const Tensor indices = from_indices(cpu_backend(), {2}), epoch = from_indices(cpu_backend(), {0});
  EXPECT_THROW(cpu_backend().make_views(batch, pixels.array(), indices.array(), epoch.array(), out.array()), Error);
}

}  // namespace
}  // namespace vergence::test
