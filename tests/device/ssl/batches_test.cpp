// Where the batches of a run on a GPU are made: there, as long as the images fit into its memory.
#include "datasets/loading/batch_source.h"
#include "tests/device/device_under_test.h"
#include "tests/support/complaints.h"
#include "tests/support/view_checks.h"

namespace vergence::test {
namespace {

class DeviceBatches : public ::testing::Test {
 protected:
  DeviceBatches() { images.classes("train", 10); }

  Dataset open(BadImagePolicy policy = BadImagePolicy::stop) const {
    DatasetSettings settings;
    settings.name = "image_folder";
    settings.directory = images.path();
    settings.bad_images = policy;
    return open_dataset(settings, "train");
  }
  std::unique_ptr<BatchSource> batches(const Dataset& data, std::int64_t reserve = 0) const {
    return make_batch_source({data, small_batches(), device_under_test(), DType::f32, reserve});
  }

  ImageTree images;
};

TEST_F(DeviceBatches, OfFilesAreTheHosts) {
  const Dataset data = open();
  const auto device = batches(data), host = batches(data, std::int64_t{1} << 50);
  EXPECT_EQ(device->origin(), "made by the device, from images in its memory");
  expect_contains(host->origin(), {"made by 1 thread of the host, because the 20 images of image_folder train have ",
                                   " MiB free, of which training needs 1073741824"});
  for (std::int64_t number = 0; number < 3; ++number) {
    device->prepare(number);
    host->prepare(number);
    EXPECT_EQ(device->indices(), host->indices());
    EXPECT_EQ(device->epoch(), host->epoch());
    expect_views_close(device->make().both.values(), host->make().both.floats(), 3, DType::f32);
  }
}

TEST_F(DeviceBatches, ABadImageEndsTheRunAtOnce) {
  images.cut_in_half("train/b/107.png");
  images.cut_in_half("train/a/103.png");
  expect_contains(message_of([&] { batches(open()); }), {images / "train/a/103.png"});
  const Dataset data = open(BadImagePolicy::skip);
  EXPECT_EQ(batches(data)->origin(), "made by the device, from images in its memory");
  EXPECT_EQ(data.source->bad_images().count(), 2);
}

TEST_F(DeviceBatches, ImagesOfOtherChannelsAreTheHosts) {
  Dataset gray = render_shapes({.image_size = 16}, "probe", 10);
  gray.channels = 1;
  gray.pixels.resize(10 * 16 * 16);
  LoaderSettings settings = small_batches();
  for (ViewSettings& view : settings.views) view = ViewSettings::identity(16, 1);
  EXPECT_EQ(
      make_batch_source({gray, settings, device_under_test()})->origin(),
      "made by 1 thread of the host, because the 10 images of confounded_shapes probe have other than 3 channels: 1");
}

}  // namespace
}  // namespace vergence::test
