// composites: shapes over photographs, on generated CIFAR-10 files whose images say where they come from, and on the
// real ones.
#include "datasets/shapes/composites.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "datasets/readers/cifar.h"
#include "datasets/registry.h"
#include "engine/io/files.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/evaluation.h"
#include "ssl/options/options.h"
#include "tests/support/channel_statistics.h"
#include "tests/support/cifar_files.h"
#include "tests/support/complaints.h"
#include "tests/support/real_data.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

constexpr const char* every_split[] = {"train", "probe", "val", "test"};

class Composites : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    for (int number = 1; number <= 6; ++number) write_cifar_file(folder_->path(), number);
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static CompositesSettings settings(std::uint64_t seed = 0, double confounding = 0.9) {
    return {.directory = folder_->path(), .seed = seed, .confounding = confounding};
  }
  static DatasetSettings named(std::int64_t limit = 0) {
    DatasetSettings data;
    data.name = "composites";
    data.directory = folder_->path();
    data.limit = limit;
    return data;
  }
  /// The file and the place in it that an image without a shape comes from.
  static std::pair<int, std::size_t> origin(const std::uint8_t* image) {
    return {image[0], static_cast<std::size_t>(image[3] << 8 | image[6])};
  }

  static std::unique_ptr<TemporaryFolder> folder_;
};

std::unique_ptr<TemporaryFolder> Composites::folder_;

TEST_F(Composites, SplitsTakeTheirBackgroundsFromFilesOfTheirOwn) {
  const std::set<std::int64_t> files[] = {{0, 1, 2}, {3}, {4}, {0}};
  for (std::size_t s = 0; s < 4; ++s) {
    const CompositesSplit split(settings(), every_split[s]);
    ASSERT_EQ(split.count(), s == 0 ? 20000 : 5000);
    std::set<std::int64_t> seen, seen_files;
    for (std::int64_t i = 0; i < split.count(); ++i) {
      const std::int64_t source = split.source_index(i);
      ASSERT_TRUE(seen.insert(source).second) << "image " << source << " twice in " << every_split[s];
      ASSERT_EQ(split.family(i), source % 10);  // the class of that image
      seen_files.insert(source / 10000);
      if (i % 20 > 0) continue;
      const auto [file, place] = origin(split.image(i, ImageVersion::background_only).data());
      ASSERT_EQ(file, s == 3 ? 6 : source / 10000 + 1);
      ASSERT_EQ(place, static_cast<std::size_t>(source % 10000));
    }
    EXPECT_EQ(seen_files, files[s]) << every_split[s];
  }
  EXPECT_EQ(CompositesSplit(settings(), "probe_without_val").source_index(7),
            CompositesSplit(settings(), "probe").source_index(7));
}

TEST_F(Composites, PhotographsShowThroughAsTheyAre) {
  const CompositesSplit split(settings(3), "test");
  const Dataset photographs = read_cifar10(folder_->path(), "test");
  const ChannelValues mean = split.render(ImageVersion::full, 1).mean;
  std::int64_t clear = 0;
  for (std::int64_t i = 0; i < 300; ++i) {
    const auto full = split.image(i), mask = split.mask(i), other = split.image(i, ImageVersion::repaired);
    const auto over = split.image(i, ImageVersion::foreground_only);
    const std::uint8_t* own = photographs.image(split.source_index(i));
    const std::uint8_t* theirs = photographs.image(split.source_index(split.partner(i)));
    ASSERT_NE(own, theirs);
    const auto under = split.image(i, ImageVersion::background_only);
    ASSERT_TRUE(std::equal(under.begin(), under.end(), own));
    for (std::size_t p = 0; p < mask.size(); ++p)
      for (std::size_t c = 3 * p; c < 3 * p + 3; ++c) {
        if (mask[p] == 0) {
          ASSERT_EQ(full[c], own[c]) << i;
          ASSERT_EQ(other[c], theirs[c]) << i;
          ASSERT_NEAR(over[c], 255 * mean[c % 3], 0.51);
          ++clear;
        } else if (mask[p] == 255) {
          ASSERT_EQ(full[c], over[c]);
          ASSERT_EQ(full[c], other[c]);
        } else {
          const double through = 1 - mask[p] / 255.0;  // of what lies below
          ASSERT_NEAR(full[c] - through * own[c], over[c] - through * 255 * mean[c % 3], 1.01);
        }
      }
  }
  EXPECT_GT(clear, 300 * 1024);  // of 3 x 1024 bytes an image
}

TEST_F(Composites, ShapesAreThoseOfConfoundedShapes) {
  const CompositesSplit composites(settings(5), "train");
  const ShapesSplit shapes({.seed = 5}, "train");
  for (std::int64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(composites.label(i), shapes.label(i));
    EXPECT_EQ(composites.family(i), shapes.family(i));
    const auto mask = composites.mask(i), here = composites.image(i), there = shapes.image(i);
    ASSERT_EQ(mask, shapes.mask(i));
    for (std::size_t p = 0; p < mask.size(); ++p)
      if (mask[p] == 255) {
        ASSERT_TRUE(std::equal(here.begin() + 3 * p, here.begin() + 3 * p + 3, there.begin() + 3 * p)) << i;
      }
  }
}

TEST_F(Composites, BackgroundAgreesWithClassInTrainAlone) {
  const auto agreement = [](const CompositesSplit& images) {
    std::int64_t agree = 0;
    for (std::int64_t i = 0; i < images.count(); ++i) agree += images.label(i) == images.family(i);
    return static_cast<double>(agree) / static_cast<double>(images.count());
  };
  EXPECT_NEAR(agreement({settings(), "train"}), 0.9, 0.01);
  for (const char* split : {"probe", "val", "test"}) EXPECT_NEAR(agreement({settings(), split}), 0.1, 0.02) << split;
  EXPECT_EQ(agreement({settings(0, 1.0), "train"}), 1.0);
  EXPECT_EQ(agreement({settings(0, 0.0), "train"}), 0.0);
  EXPECT_NEAR(agreement({settings(0, 1.0), "test"}), 0.1, 0.02);
}

TEST_F(Composites, OneImageIsTheSameHoweverItIsMade) {
  const Dataset first = open_dataset(named(40), "val"), again = open_dataset(named(40), "val");
  EXPECT_EQ(first.pixels, again.pixels);
  EXPECT_EQ(first.labels, again.labels);
  EXPECT_EQ(first.height, 32);
  EXPECT_EQ(first.classes, 10);
  for (const auto& [name, version] : image_version_words) {
    DatasetSettings data = named(40);
    data.components.get<CompositesOptions>().version = version;
    const auto one = CompositesSplit(settings(), "val").image(39, version);
    const Dataset whole = open_dataset(data, "val");
    EXPECT_TRUE(std::equal(one.begin(), one.end(), whole.image(39))) << name;
  }
  DatasetSettings other = named(40);
  other.seed = 1;
  EXPECT_NE(open_dataset(other, "val").pixels, first.pixels);
  other = named(40);
  other.image_size = 64;  // of the views; the images stay as they are
  EXPECT_EQ(open_dataset(other, "val").pixels, first.pixels);
}

TEST_F(Composites, WhatIsMissingOrWrongIsNamed) {
  const auto complaint = [](DatasetSettings data, const char* split) {
    return message_of([&] { open_dataset(data, split); });
  };
  DatasetSettings data = named();
  data.directory = "";
  expect_contains(complaint(data, "train"), {"composites: background cifar10: no data folder given", "--data DIR"});
  TemporaryFolder part;
  data.directory = part.path();
  expect_contains(complaint(data, "test"),
                  {"composites: background cifar10: test_batch.bin not found in " + part.path()});
  write_cifar_file(part.path(), 3);
  expect_contains(complaint(data, "probe"), {"data_batch_4.bin is missing, expected 10000 images"});
  write_cifar_file(part.path(), 4, 9);
  expect_contains(complaint(data, "probe"),
                  {"composites: background cifar10: images 30000 to 39999", "none of class 9"});
  data = named();
  data.components.get<CompositesOptions>().confounding = NAN;
  expect_contains(complaint(data, "train"), {"composites: confounding is nan, expected 0 to 1"});
  expect_contains(message_of([] { CompositesSplit(settings(), "dev"); }), {"composites: unknown split 'dev'"});
  EXPECT_THROW(CompositesSplit(settings(), "val").image(5000), Error);
}

TEST_F(Composites, FewImagesOfAClassAreTakenAgain) {
  TemporaryFolder few;
  write_cifar_file(few.path(), 6, 100);  // labels above 9 are of no class
  expect_contains(message_of([&] { CompositesSplit({.directory = few.path()}, "test"); }), {"label 10 in record 10"});
  write_cifar_file(few.path(), 5, 10);
  fs::path file = fs::path(few.path()) / cifar_file(5);
  std::string bytes = read_file(file.string());
  for (std::size_t i = 0; i < cifar_file_images; ++i)  // 100 of each class but 9, the rest of class 9
    if (i >= 1000) bytes[i * cifar_record] = 9;
  write_atomically(file.string(), bytes);
  const CompositesSplit split({.directory = few.path()}, "val");
  std::array<std::int64_t, 100> uses{};
  std::int64_t wanted = 0;
  for (std::int64_t i = 0; i < split.count(); ++i)
    if (split.family(i) == 4) {
      ASSERT_EQ(split.source_index(i) % 10, 4);
      ++uses[static_cast<std::size_t>((split.source_index(i) - 40000) / 10)], ++wanted;
    }
  const auto [least, most] = std::minmax_element(uses.begin(), uses.end());
  EXPECT_EQ(*least, wanted / 100);
  EXPECT_LE(*most, *least + 1);
}

TEST_F(Composites, OptionsReachTheImages) {
  const auto parsed = [](std::vector<const char*> words) {
    words.insert(words.begin(), {"pretrain", "--dataset", "composites", "--data", folder_->path().c_str()});
    return dataset_settings(parse_pretrain(static_cast<int>(words.size()), words.data()));
  };
  const auto own = [](const DatasetSettings& data) { return data.components.get<CompositesOptions>(); };
  const DatasetSettings plain = parsed({});
  EXPECT_EQ(own(plain).confounding, 0.9);
  EXPECT_EQ(own(plain).version, ImageVersion::full);
  const DatasetSettings changed = parsed({"--composites.confounding", "0.5", "--composites.version", "repaired",
                                          "--composites.background", "cifar10", "--seed", "9"});
  EXPECT_EQ(own(changed).confounding, 0.5);
  EXPECT_EQ(own(changed).version, ImageVersion::repaired);
  EXPECT_EQ(own(as_judged(changed)).version, ImageVersion::full) << "encoders are judged on whole images";
  EXPECT_EQ(changed.seed, 9u);
  // Options of the other set leave this one alone.
  const DatasetSettings others = parsed({"--confounded_shapes.confounding", "0.5"});
  EXPECT_EQ(own(others).confounding, 0.9);
}

TEST_F(Composites, AnEncoderOfAnotherDataSetIsJudgedOnThem) {
  TemporaryFolder run;
  ResNetSettings encoder;
  encoder.width = 2;
  encoder.image_size = 16;
  save_encoder(run / "encoder.safetensors", make_resnet(encoder, {cpu_backend(), 3}), {},
               {{"mean", "0.5,0.5,0.5"}, {"std", "0.2,0.2,0.2"}, {"dataset", "cifar10"}});
  SubjectOptions options;
  options.encoder_file = run / "encoder.safetensors";
  options.judged.values.device = "cpu";
  options.judged.set("dataset", "composites");
  options.judged.set("data", folder_->path());
  options.limit = 60;
  Subject subject = open_subject(options);
  EvaluationSettings wanted;
  wanted.metrics = chosen_metrics("foreground,dense", subject.data.name);
  std::vector<std::string> lines;
  const nlohmann::ordered_json json =
      evaluate(subject, wanted, [&](const std::string& line) { lines.push_back(line); });
  EXPECT_EQ(json["dataset"], "composites");
  EXPECT_EQ(json["test_images"], 60);
  EXPECT_EQ(json["foreground"]["linear_probe"][1].size(), 4u);
  EXPECT_EQ(json["foreground"]["swap"]["full"], json["foreground"]["linear_probe"][0][0]);
  EXPECT_TRUE(json["dense"]["miou"].is_number());
  EXPECT_EQ(
      std::count_if(lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("foreground_swap"); }),
      1);
}

TEST_F(Composites, RangesOfCifarAreThoseOfTheWhole) {
  const Dataset whole = read_cifar10(folder_->path(), "train");
  const Dataset part = read_cifar10_range(folder_->path(), "train", 19990, 10020);
  ASSERT_EQ(part.count, 10020);
  EXPECT_TRUE(std::equal(part.pixels.begin(), part.pixels.end(), whole.image(19990)));
  EXPECT_TRUE(std::equal(part.labels.begin(), part.labels.end(), whole.labels.begin() + 19990));
  EXPECT_THROW(read_cifar10_range(folder_->path(), "train", 49999, 2), Error);
}

TEST(CompositesReal, StatisticsAreTheStatedOnes) {
  const fs::path place = real_data("cifar10");
  if (place.empty()) GTEST_SKIP() << no_real_data("cifar10");
  expect_stated_statistics(CompositesSplit({.directory = place.string()}, "train").render(), 0.003);
}

}  // namespace
}  // namespace vergence
