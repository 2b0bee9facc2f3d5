// Data sets and the loader: CIFAR-10 files whole and damaged, the rendered shapes, batches in order.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <sstream>
#include <tuple>

#include "datasets/loading/loader.h"
#include "datasets/readers/cifar.h"
#include "datasets/readers/class_names.h"
#include "datasets/shapes/confounded_shapes.h"
#include "engine/io/files.h"
#include "kernels/error.h"
#include "tests/support/channel_statistics.h"
#include "tests/support/complaints.h"
#include "tests/support/real_data.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

// ---- CIFAR-10

constexpr std::size_t record = 3073, records = 10000;

class Cifar : public ::testing::Test {
 protected:
  /// A file whose record i has label i % 10 and, in channel c at pixel p, the byte i + 50 c + p.
  static std::vector<char> sound_file() {
    std::vector<char> bytes(record * records);
    for (std::size_t i = 0; i < records; ++i) {
      bytes[i * record] = static_cast<char>(i % 10);
      for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t p = 0; p < 1024; ++p) bytes[i * record + 1 + c * 1024 + p] = static_cast<char>(i + 50 * c + p);
    }
    return bytes;
  }
  void write(const std::string& name, const std::vector<char>& bytes) const {
    const fs::path file = folder / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string complaint_about(const std::string& split) const {
    return message_of([&] { read_cifar10(folder.path(), split); });
  }

  TemporaryFolder folder;
};

TEST_F(Cifar, PlanesBecomeInterleavedPixels) {
  write("cifar-10-batches-bin/test_batch.bin", sound_file());
  const Dataset data = read_cifar10(folder.path(), "test");
  ASSERT_EQ(data.count, 10000);
  EXPECT_EQ(data.height, 32);
  EXPECT_EQ(data.classes, 10);
  for (std::int64_t i : {0, 1, 77, 9999}) {
    EXPECT_EQ(data.label(i), i % 10);
    for (std::int64_t p : {0, 1, 1023})
      for (std::int64_t c = 0; c < 3; ++c)
        EXPECT_EQ(data.image(i)[3 * p + c], static_cast<std::uint8_t>(i + 50 * c + p));
  }
  EXPECT_THROW(data.image(10000), Error);
}

TEST_F(Cifar, LimitAndValidationSplit) {
  write("data_batch_5.bin", sound_file());
  const Dataset whole = read_cifar10(folder.path(), "val"), part = read_cifar10(folder.path(), "val", 7);
  EXPECT_EQ(whole.count, 5000);
  EXPECT_EQ(whole.image(0)[0], static_cast<std::uint8_t>(5000));
  EXPECT_EQ(part.count, 7);
  EXPECT_TRUE(std::equal(part.pixels.begin(), part.pixels.end(), whole.pixels.begin()));
}

TEST_F(Cifar, ProbesThatValJudgesSeeNoneOfIt) {
  for (int file = 1; file <= 5; ++file) write("data_batch_" + std::to_string(file) + ".bin", sound_file());
  EXPECT_EQ(probe_split("test"), "probe");
  EXPECT_THROW(probe_split("train"), UsageError);
  const Dataset rest = read_cifar10(folder.path(), probe_split("val"), 0), val = read_cifar10(folder.path(), "val");
  const Dataset all = read_cifar10(folder.path(), "probe");
  ASSERT_EQ(rest.count + val.count, all.count);
  std::vector<std::uint8_t> joined = rest.pixels;
  joined.insert(joined.end(), val.pixels.begin(), val.pixels.end());
  EXPECT_EQ(joined, all.pixels);
}

TEST_F(Cifar, MissingFilesAreNamed) {
  expect_contains(complaint_about("test"), {"test_batch.bin not found", "cifar-10-batches-bin"});
  expect_contains(message_of([] { read_cifar10("", "train"); }), {"no data folder", "--data DIR"});
  write("data_batch_1.bin", sound_file());
  expect_contains(complaint_about("train"), {"data_batch_2.bin is missing", "10000 images"});
}

TEST_F(Cifar, WrongSizesAreRefused) {
  std::vector<char> bytes = sound_file();
  bytes.pop_back();
  write("test_batch.bin", bytes);
  expect_contains(complaint_about("test"), {"test_batch.bin has 30729999 bytes, expected 30730000"});
  bytes.resize(record * records + 1);
  write("test_batch.bin", bytes);
  expect_contains(complaint_about("test"), {"has 30730001 bytes"});
  write("test_batch.bin", {});
  expect_contains(complaint_about("test"), {"has 0 bytes"});
  fs::remove(folder / "test_batch.bin");
  fs::create_directory(folder / "test_batch.bin");
  expect_contains(complaint_about("test"), {"test_batch.bin: cannot read"});
}

TEST_F(Cifar, LabelsAboveNineAreRefused) {
  std::vector<char> bytes = sound_file();
  bytes[record * 4321] = 10;
  write("test_batch.bin", bytes);
  expect_contains(complaint_about("test"), {"label 10 in record 4321", "expected 0 to 9"});
}

TEST(CifarReal, StatisticsAreThePublishedOnes) {
  const fs::path place = real_data("cifar10");
  if (place.empty()) GTEST_SKIP() << no_real_data("cifar10");
  const Dataset data = read_cifar10(place.string(), "train");
  ASSERT_EQ(data.count, 50000);
  expect_stated_statistics(data, 1e-4);
  for (std::int32_t label = 0; label < 10; ++label)
    EXPECT_EQ(std::count(data.labels.begin(), data.labels.end(), label), 5000);
  EXPECT_EQ(read_cifar10(place.string(), "test").count, 10000);
}

// ---- names

/// The lines of a file of names, without empty ones.
std::vector<std::string> lines_of(const fs::path& file) {
  std::vector<std::string> lines;
  std::istringstream text(read_file(file.string()));
  for (std::string line; std::getline(text, line);)
    if (!line.empty()) lines.push_back(line);
  return lines;
}

TEST(ClassNames, AreThoseOfThePublishedFiles) {
  for (const auto& [folder, file, names] :
       {std::tuple{"cifar10", "batches.meta.txt", cifar10_class_names()},
        std::tuple{"cifar100_subset", "fine_label_names.txt", cifar100_class_names()}}) {
    const fs::path place = real_data(folder);
    if (place.empty()) GTEST_SKIP() << no_real_data(folder);
    EXPECT_EQ(lines_of(place / file), names);
  }
}

TEST(ClassNames, AreAsManyAsClasses) {
  EXPECT_EQ(cifar10_class_names().size(), 10u);
  EXPECT_EQ(cifar100_class_names().size(), 100u);
  EXPECT_EQ(stl10_class_names().size(), 10u);
  const Dataset shapes = render_shapes({}, "test", 4);
  EXPECT_EQ(static_cast<std::int64_t>(shapes.class_names.size()), shapes.classes);
  EXPECT_EQ(shapes.class_names[3], "star");
}

TEST(OpenDataset, UnknownNamesListWhatExists) {
  DatasetSettings settings;
  settings.name = "imagenet21k";
  expect_contains(message_of([&] { open_dataset(settings, "train"); }),
                  {"unknown name 'imagenet21k'", "cifar10, cifar100, composites, confounded_shapes, image_folder"});
  settings.name = "confounded_shapes";
  expect_contains(message_of([&] { open_dataset(settings, "dev"); }),
                  {"unknown split 'dev'", "train, probe, probe_without_val, val, test"});
  settings.image_size = 8;
  expect_contains(message_of([&] { open_dataset(settings, "train"); }), {"image_size is 8", "16 to 96"});
  settings.image_size = 0;
  settings.components.get<ShapesOptions>().confounding = NAN;
  expect_contains(message_of([&] { open_dataset(settings, "train"); }), {"confounding is nan"});
}

// ---- confounded_shapes

TEST(Shapes, OneImageIsTheSameHoweverItIsMade) {
  DatasetSettings settings;
  settings.limit = 40;
  const Dataset first = open_dataset(settings, "train"), again = open_dataset(settings, "train");
  EXPECT_EQ(first.pixels, again.pixels);
  EXPECT_EQ(first.labels, again.labels);
  const auto one = ShapesSplit({}, "train").image(39);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), first.image(39)));
  EXPECT_NE(open_dataset(settings, "probe").pixels, first.pixels);
  settings.seed = 1;
  EXPECT_NE(open_dataset(settings, "train").pixels, first.pixels);
}

TEST(Shapes, BackgroundAgreesWithClassInTrainAlone) {
  const auto agreement = [](const ShapesSettings& settings, const std::string& split) {
    const ShapesSplit images(settings, split);
    std::int64_t agree = 0;
    for (std::int64_t i = 0; i < images.count(); ++i) agree += images.label(i) == images.family(i);
    return static_cast<double>(agree) / static_cast<double>(images.count());
  };
  EXPECT_NEAR(agreement({}, "train"), 0.9, 0.015);
  for (const char* split : {"probe", "val", "test"}) EXPECT_NEAR(agreement({}, split), 0.1, 0.03);
  EXPECT_EQ(agreement({.confounding = 1.0}, "train"), 1.0);
  EXPECT_EQ(agreement({.confounding = 0.0}, "train"), 0.0);
}

TEST(Shapes, ClassesAndBackgroundsAreBalanced) {
  const Dataset data = render_shapes({.image_size = 16}, "train");
  ASSERT_EQ(data.count, 8000);
  const ShapesSplit images({.image_size = 16}, "train");
  std::vector<std::int32_t> backgrounds;
  for (std::int64_t i = 0; i < data.count; ++i) backgrounds.push_back(images.family(i));
  for (std::int32_t k = 0; k < shape_classes; ++k) {
    EXPECT_NEAR(std::count(data.labels.begin(), data.labels.end(), k), 800, 120);
    EXPECT_NEAR(std::count(backgrounds.begin(), backgrounds.end(), k), 800, 120);
  }
}

TEST(Shapes, StatisticsAreTheStatedOnes) { expect_stated_statistics(render_shapes({}, "train"), 0.01); }

TEST(Shapes, MaskSaysExactlyWhichPixelsTheShapeChanges) {
  for (std::int64_t size : {16, 32, 96}) {
    const ShapesSplit images({.image_size = size}, "test");
    for (std::int64_t i = 0; i < 60; ++i) {
      const auto full = images.image(i), mask = images.mask(i);
      const auto under = images.image(i, ImageVersion::background_only);
      const auto over = images.image(i, ImageVersion::foreground_only);
      const ImageLayers layers = images.layers(i);
      for (std::size_t p = 0; p < mask.size(); ++p)
        for (std::size_t c = 0; c < 3; ++c) {
          const double color = 255 * layers.foreground[3 * p + c], alpha = mask[p] / 255.0;
          ASSERT_NEAR(full[3 * p + c], alpha * color + (1 - alpha) * under[3 * p + c], 1.6);
          if (mask[p] == 0) {
            ASSERT_EQ(full[3 * p + c], under[3 * p + c]);
          }
          if (mask[p] == 255) {
            ASSERT_EQ(full[3 * p + c], over[3 * p + c]);
          }
        }
    }
  }
}

/// Area does not tell the class: the average shape of every class covers a similar share of the image.
TEST(Shapes, ShapesCoverSimilarAreasAndLieInsideTheImage) {
  std::array<double, shape_classes> covered{}, count{};
  const ShapesSplit images({}, "val");
  for (std::int64_t i = 0; i < 2000; ++i) {
    const auto mask = images.mask(i);
    const auto shape = static_cast<std::size_t>(images.label(i));
    double sum = 0;
    for (std::uint8_t m : mask) sum += m / 255.0;
    ASSERT_GT(sum, 25) << "image " << i << " has hardly any foreground";
    covered[shape] += sum / static_cast<double>(mask.size()), ++count[shape];
  }
  for (std::size_t k = 0; k < covered.size(); ++k) {
    EXPECT_GT(covered[k] / count[k], 0.17) << shape_names()[k];
    EXPECT_LT(covered[k] / count[k], 0.26) << shape_names()[k];
  }
}

TEST(Shapes, RepairedKeepsTheShapeAndChangesTheBackground) {
  std::int64_t same_family = 0;
  const ShapesSplit images({}, "train");
  for (std::int64_t i = 0; i < 200; ++i) {
    const auto full = images.image(i), other = images.image(i, ImageVersion::repaired), mask = images.mask(i);
    std::int64_t changed = 0, outside = 0;
    for (std::size_t p = 0; p < mask.size(); ++p) {
      if (mask[p] == 255) {
        ASSERT_EQ(full[3 * p], other[3 * p]);
      }
      if (mask[p] == 0) ++outside, changed += full[3 * p] != other[3 * p];
    }
    EXPECT_GT(changed, outside / 2);
    same_family += changed == 0;
  }
  EXPECT_EQ(same_family, 0);
}

TEST(Shapes, VersionsAndMasksOfAWholeSplit) {
  DatasetSettings settings;
  settings.limit = 30, settings.image_size = 16, settings.seed = 4;
  const ShapesSettings shapes = shapes_settings(settings);
  EXPECT_EQ(shapes.image_size, 16);
  EXPECT_EQ(shapes.seed, 4u);
  for (const auto& [name, version] : image_version_words) {
    settings.components.get<ShapesOptions>().version = version;
    const Dataset data = open_dataset(settings, "val");
    ASSERT_EQ(data.count, 30);
    const auto one = ShapesSplit(shapes, "val").image(29, version);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), data.image(29))) << name;
  }
  const ShapesSplit images(shapes, "val");
  const auto masks = images.masks(30), last = images.mask(29);
  ASSERT_EQ(masks.size(), 30u * 256);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), masks.end() - 256));
  EXPECT_EQ(images.masks().size(), 2000u * 256);
  EXPECT_THROW(images.image(2000), Error);
}

// ---- the loader

Dataset small_dataset(std::int64_t count) { return render_shapes({.image_size = 16}, "probe", count); }

LoaderSettings loader_settings(int workers) {
  LoaderSettings settings;
  settings.batch = 8;
  settings.views.assign(2, ViewSettings{});
  settings.views[0].size = settings.views[1].size = 16;
  settings.seed = 5;
  settings.workers = workers;
  return settings;
}

std::vector<Batch> batches(const Dataset& data, const LoaderSettings& settings, int count) {
  Loader loader(data, settings);
  std::vector<Batch> all;
  for (int i = 0; i < count; ++i) all.push_back(loader.next());
  return all;
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(a.epoch, b.epoch);
  EXPECT_EQ(a.step, b.step);
  EXPECT_EQ(a.indices, b.indices);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_EQ(a.views, b.views);
  EXPECT_EQ(a.plain, b.plain);
  EXPECT_EQ(a.fresh, b.fresh);
}

TEST(Loader, BatchesDoNotDependOnTheNumberOfWorkers) {
  const Dataset data = small_dataset(45);
  LoaderSettings single = loader_settings(1), several = loader_settings(4);
  single.plain = several.plain = true;
  single.fresh = several.fresh = FreshViews::other_images;
  const auto one = batches(data, single, 23), four = batches(data, several, 23);
  for (std::size_t i = 0; i < one.size(); ++i) expect_equal(one[i], four[i]);
  EXPECT_EQ(one[0].fresh.size(), one[0].views.size());
}

TEST(Loader, ResumingContinuesTheSequence) {
  const Dataset data = small_dataset(45);
  LoaderSettings settings = loader_settings(2);
  settings.plain = true;
  settings.fresh = FreshViews::same_images;
  const auto all = batches(data, settings, 14);
  settings.first_epoch = 1;
  for (std::int64_t step : {0, 3, 5}) {  // five steps an epoch: step 5 is the next epoch's first
    settings.first_step = step;
    const auto rest = batches(data, settings, 4);
    for (std::size_t i = 0; i < rest.size(); ++i) expect_equal(rest[i], all[5 + static_cast<std::size_t>(step) + i]);
  }
}

TEST(Loader, EpochsArePermutationsWithoutTheLastPartialBatch) {
  const Dataset data = small_dataset(45);
  const auto all = batches(data, loader_settings(2), 10);
  std::set<std::int64_t> seen[2];
  for (const Batch& batch : all) seen[batch.epoch].insert(batch.indices.begin(), batch.indices.end());
  EXPECT_EQ(seen[0].size(), 40u);
  EXPECT_EQ(seen[1].size(), 40u);
  EXPECT_EQ(all[4].step, 4);
  EXPECT_EQ(all[5].epoch, 1);
  EXPECT_NE(all[0].indices, all[5].indices);
  std::vector<std::int64_t> order = epoch_order(45, 5, 0);
  EXPECT_TRUE(std::equal(all[1].indices.begin(), all[1].indices.end(), order.begin() + 8));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 45; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

/// The values of one of `parts` consecutive parts, for each of `sections` equal sections.
template <class T>
std::vector<T> part_of(const std::vector<T>& whole, std::size_t sections, std::size_t part, std::size_t parts) {
  std::vector<T> values;
  const std::size_t section = whole.size() / sections, size = section / parts;
  for (std::size_t s = 0; s < sections; ++s) {
    const auto begin = whole.begin() + static_cast<std::ptrdiff_t>(s * section + part * size);
    values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(size));
  }
  return values;
}

TEST(Loader, EachRankMakesItsPartOfTheBatch) {
  const Dataset data = small_dataset(45);
  LoaderSettings settings = loader_settings(2);
  settings.plain = true;
  settings.fresh = FreshViews::other_images;
  const auto whole = batches(data, settings, 7);
  settings.ranks = 4;
  for (settings.rank = 0; settings.rank < 4; ++settings.rank) {
    const auto own = batches(data, settings, 7);
    const auto rank = static_cast<std::size_t>(settings.rank);
    for (std::size_t i = 0; i < own.size(); ++i) {
      EXPECT_EQ(own[i].indices.size(), 2u);  // read and kept: no more
      EXPECT_EQ(own[i].views.size(), 4u * 16 * 16 * 3);
      EXPECT_EQ(own[i].epoch, whole[i].epoch);
      EXPECT_EQ(own[i].step, whole[i].step);
      EXPECT_EQ(own[i].indices, part_of(whole[i].indices, 1, rank, 4));
      EXPECT_EQ(own[i].labels, part_of(whole[i].labels, 1, rank, 4));
      EXPECT_EQ(own[i].views, part_of(whole[i].views, 2, rank, 4));
      EXPECT_EQ(own[i].plain, part_of(whole[i].plain, 1, rank, 4));
      EXPECT_EQ(own[i].fresh, part_of(whole[i].fresh, 2, rank, 4));
    }
  }
  settings.rank = 0, settings.ranks = 3;
  expect_contains(message_of([&] { Loader(data, settings); }), {"a batch of 8 cannot be shared equally by 3 ranks"});
}

TEST(Loader, ViewsLieOneAfterTheOther) {
  const Dataset data = small_dataset(20);
  LoaderSettings settings = loader_settings(1);
  settings.plain = true;
  const Batch batch = batches(data, settings, 3)[2];
  const std::size_t pixels = 16 * 16 * 3;
  ASSERT_EQ(batch.views.size(), 2 * 8 * pixels);
  std::vector<float> expected(pixels);
  for (std::size_t v = 0; v < 2; ++v)
    for (std::size_t i = 0; i < 8; ++i) {
      const std::int64_t index = batch.indices[i];
      EXPECT_EQ(batch.labels[i], data.label(index));
      const Random random(5, Purpose::view, static_cast<std::uint32_t>(batch.epoch), static_cast<std::uint64_t>(index),
                          static_cast<std::uint32_t>(v));
      make_view(data.image(index), 16, 16, settings.views[v], random, expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.views.data() + (v * 8 + i) * pixels));
      make_view(data.image(index), 16, 16, ViewSettings::plain(16, 0, settings.views[0].mean, settings.views[0].std),
                Random(0, Purpose::view), expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.plain.data() + i * pixels));
    }
}

TEST(Loader, FreshViewsAreOthersOfTheSameImagesOrOfOthers) {
  const Dataset data = small_dataset(20);
  LoaderSettings settings = loader_settings(2);
  const Batch plainly = batches(data, settings, 2)[1];
  EXPECT_TRUE(plainly.fresh.empty());
  for (const FreshViews fresh : {FreshViews::same_images, FreshViews::other_images}) {
    settings.fresh = fresh;
    const Batch batch = batches(data, settings, 2)[1];
    EXPECT_EQ(batch.views, plainly.views);
    EXPECT_NE(batch.fresh, plainly.views);
    const std::vector<std::int64_t> order = epoch_order(20, 5, 0);
    const std::size_t pixels = 16 * 16 * 3, shift = fresh == FreshViews::same_images ? 0 : 10;
    std::vector<float> expected(pixels);
    ASSERT_EQ(batch.fresh.size(), 2 * 8 * pixels);
    for (std::size_t v = 0; v < 2; ++v)
      for (std::size_t i = 0; i < 8; ++i) {
        const std::int64_t index = order[(8 + i + shift) % 20];
        const Random random(5, Purpose::fresh_view, 0, static_cast<std::uint64_t>(index),
                            static_cast<std::uint32_t>(v));
        make_view(data.image(index), 16, 16, settings.views[v], random, expected.data());
        EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.fresh.data() + (v * 8 + i) * pixels));
      }
  }
  settings.batch = 11;
  expect_contains(message_of([&] { Loader(data, settings); }), {"11 and as many other images", "20"});
}

TEST(Loader, WhatAWorkerThrowsSurfacesInNext) {
  Dataset data = small_dataset(24);
  data.pixels.resize(data.pixels.size() - 1);  // the last image is cut short
  for (int workers : {1, 3}) {
    Loader loader(data, loader_settings(workers));
    int failed = 0;
    for (int i = 0; i < 9; ++i) try {
        loader.next();
      } catch (const Error& error) {
        ++failed;
        expect_contains(error.what(), {"image 23"});
      }
    EXPECT_EQ(failed, 3);  // once an epoch, and the loader goes on after it
  }
}

TEST(Loader, ImpossibleSettingsAreRefused) {
  const Dataset data = small_dataset(7);
  expect_contains(message_of([&] { Loader(data, loader_settings(1)); }), {"batch of 8 is larger than", "7 images"});
  LoaderSettings settings = loader_settings(0);
  settings.batch = 2;
  expect_contains(message_of([&] { Loader(data, settings); }), {"workers is 0"});
  settings.workers = 1;
  settings.views[1].size = 32;
  expect_contains(message_of([&] { Loader(data, settings); }), {"view 2 has size 32"});
}

TEST(Loader, StopsWithBatchesUnread) {
  const Dataset data = small_dataset(45);
  for (int i = 0; i < 20; ++i) {
    Loader loader(data, loader_settings(1 + i % 3));
    EXPECT_EQ(loader.steps_per_epoch(), 5);
    if (i % 2) loader.next();
  }
}

}  // namespace
}  // namespace vergence
