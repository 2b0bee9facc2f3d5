// Folders of image files as data sets: layouts, splits, and files that are bad or change while they are read.
#include <chrono>
#include <gtest/gtest.h>
#include <map>
#include <set>

#include "datasets/loading/image_reader.h"
#include "datasets/loading/loader.h"
#include "datasets/readers/images/folder.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class ImageFolderTest : public ::testing::Test {
 protected:
  Dataset open(const std::string& split, BadImagePolicy policy = BadImagePolicy::stop,
               const std::string& name = "image_folder") const {
    return open_dataset({.name = name, .directory = folder.path(), .bad_images = policy}, split);
  }
  static LoaderSettings loader_settings(int workers, std::int64_t batch = 4) {
    LoaderSettings settings;
    settings.batch = batch;
    settings.views.resize(2);
    for (ViewSettings& view : settings.views) view.size = 16;
    settings.plain = true;
    settings.plain_resize = 18;
    settings.workers = workers;
    return settings;
  }
  static std::vector<Batch> batches(const Dataset& data, const LoaderSettings& settings, int count) {
    Loader loader(data, settings);
    std::vector<Batch> all;
    for (int i = 0; i < count; ++i) all.push_back(loader.next());
    return all;
  }

  ImageTree folder;
};

TEST_F(ImageFolderTest, TrainAndValAreTheSplits) {
  folder.classes("train", 10);
  folder.classes("val", 3);
  const Dataset train = open("train");
  EXPECT_EQ(train.count, 20);
  EXPECT_EQ(train.classes, 2);
  EXPECT_EQ(train.label(9), 0);
  EXPECT_EQ(train.label(10), 1);
  EXPECT_EQ(train.height, 0);
  EXPECT_EQ(train.view_size(), 224);
  EXPECT_EQ(train.evaluation_resize(224), 256);
  EXPECT_EQ(train.mean, (ChannelValues{0.485f, 0.456f, 0.406f})) << "ImageNet's, as published";
  EXPECT_EQ(train.std, (ChannelValues{0.229f, 0.224f, 0.225f}));
  EXPECT_EQ(open("probe").count, 20);
  EXPECT_EQ(open("test").count, 6);
  EXPECT_EQ(open("val").labels, (std::vector<std::int32_t>{0, 1}));  // every tenth of train
  EXPECT_EQ(open("probe_without_val").count, 18);
}

TEST_F(ImageFolderTest, AValBesideATestChoosesCoefficients) {
  folder.classes("train", 10);
  folder.classes("val", 2);
  folder.classes("test", 3);
  EXPECT_EQ(open("val").count, 4);
  EXPECT_EQ(open("test").count, 6);
  EXPECT_EQ(open("probe_without_val").count, 20);
}

TEST_F(ImageFolderTest, NamesAreThoseOfTheFilesInTheFolder) {
  folder.classes("train", 2);
  for (const char* name : {"val/a/1.png", "val/b/deep/er.png"}) folder.picture(name);
  EXPECT_EQ(open("train").image_name(3), "train/b/101.png");
  EXPECT_EQ(open("test").image_name(1), "val/b/deep/er.png");
  Dataset in_memory;
  in_memory.split = "test";
  in_memory.count = 2000000;
  EXPECT_EQ(in_memory.image_name(42), "test/000042");
  EXPECT_EQ(in_memory.image_name(1234567), "test/1234567");
}

TEST_F(ImageFolderTest, ClassFoldersAloneHaveNoTestSplit) {
  folder.classes(".", 5);
  EXPECT_EQ(open("train").count, 10);
  EXPECT_EQ(open("val").count, 1);
  expect_contains(message_of([&] { open("test"); }), {folder.path(), "no test/ or val/", "--split val"});
}

TEST_F(ImageFolderTest, EveryTenthOfFewImagesIsNone) {
  folder.classes(".", 4);
  EXPECT_EQ(message_of([&] { open("val"); }), "image_folder: " + folder.path() +
                                                  " has 8 images, too few for --split val, which is every tenth of "
                                                  "them");
  EXPECT_EQ(open("probe_without_val").count, 8);
}

TEST_F(ImageFolderTest, AClassCalledTrainIsNotTakenForTheTrainingImages) {
  for (const char* name : {"car/1.png", "train/1.png"}) folder.picture(name);
  expect_contains(message_of([&] { open("train"); }), {"has train/ beside car/"});
  folder.picture("val/car/1.png");
  folder.picture("val/train/1.png");
  EXPECT_EQ(open("train").count, 1);
}

TEST_F(ImageFolderTest, AFlatFolderHasNoLabels) {
  for (int i = 0; i < 5; ++i) folder.picture(std::to_string(i) + ".png", i);
  const Dataset data = open("train");
  EXPECT_EQ(data.count, 5);
  EXPECT_EQ(data.classes, 0);
  EXPECT_EQ(data.label(4), -1);
}

TEST_F(ImageFolderTest, TheLimitTakesImagesOfAllClasses) {
  folder.classes("train", 10);
  const Dataset some = open_dataset({.name = "image_folder", .directory = folder.path(), .limit = 6}, "train");
  EXPECT_EQ(some.labels, (std::vector<std::int32_t>{0, 0, 0, 1, 1, 1}));
}

TEST_F(ImageFolderTest, ImageNetAsItIsDistributed) {
  const std::string root = "ILSVRC/Data/CLS-LOC/";
  for (const char* name : {"n01", "n02", "n03"})
    for (int i = 0; i < 2; ++i) folder.picture(root + "train/" + name + "/" + name + std::to_string(i) + ".JPEG", i);
  for (int i = 0; i < 4; ++i) folder.picture(root + "val/ILSVRC2012_val_0000000" + std::to_string(i) + ".JPEG", i);
  folder.write(
      "LOC_val_solution.csv",
      "ImageId,PredictionString\nILSVRC2012_val_00000003,n01 1 2 3 4\nILSVRC2012_val_00000001,n03 1 2 3 4 n03 5 6 7 "
      "8\nILSVRC2012_val_00000000,n03 1 1 1 1\nILSVRC2012_val_00000002,n02 1 1 1 1\n");
  const Dataset test = open("test", BadImagePolicy::stop, "imagenet");
  EXPECT_EQ(test.labels, (std::vector<std::int32_t>{2, 2, 1, 0}));
  folder.write("classes.txt", "n03\nn01\n");
  DatasetSettings settings{.name = "imagenet", .directory = folder.path(), .classes = folder / "classes.txt"};
  EXPECT_EQ(open_dataset(settings, "train").labels, (std::vector<std::int32_t>{0, 0, 1, 1}));
  EXPECT_EQ(open_dataset(settings, "test").labels, (std::vector<std::int32_t>{1, 1, 0}));
  expect_contains(message_of([&] { open("train", BadImagePolicy::stop, "imagenet100"); }),
                  {"has no folder of the class 'n01558993'"});
  // As a spreadsheet saves it, and names alone.
  folder.write(
      "LOC_val_solution.csv",
      "\xef\xbb\xbfImageId,PredictionString\r\nILSVRC2012_val_00000003,n01\r\nILSVRC2012_val_00000001,n03 1 2 3 "
      "4\r\nILSVRC2012_val_00000000,n03\r\nILSVRC2012_val_00000002,n02");
  EXPECT_EQ(open("test", BadImagePolicy::stop, "imagenet").labels, (std::vector<std::int32_t>{2, 2, 1, 0}));
  EXPECT_EQ(open_dataset(settings, "test").labels, (std::vector<std::int32_t>{1, 1, 0}));
  EXPECT_TRUE(open_dataset(settings, "test").notices.empty());
  folder.write("LOC_val_solution.csv",
               "ILSVRC2012_val_00000003,n01\nILSVRC2012_val_00000001,n09\nILSVRC2012_val_00000000,n03\n"
               "ILSVRC2012_val_00000002,n08\n");
  const Dataset part = open("test", BadImagePolicy::stop, "imagenet");
  EXPECT_EQ(part.labels, (std::vector<std::int32_t>{2, 0}));
  ASSERT_EQ(part.notices.size(), 1u);
  expect_contains(part.notices[0], {"2 of 4 images are left out, of 2 classes that ", "/train has not (n08, ...)"});
  folder.write("LOC_val_solution.csv", "ILSVRC2012_val_00000003,n01 1 2 3 4\n");
  expect_contains(message_of([&] { open_dataset(settings, "test"); }), {"LOC_val_solution.csv: has no line for"});
}

TEST_F(ImageFolderTest, ClassesThatTrainHasNotAreNamedWithTheirImages) {
  folder.classes("train", 4);
  folder.classes("val", 2);
  for (const char* name : {"val/cat/1.png", "val/cat/2.png", "val/emu/1.png"}) folder.picture(name);
  const Dataset test = open("test");
  EXPECT_EQ(test.count, 4);
  EXPECT_EQ(test.notices,
            (std::vector<std::string>{"image_folder: " + (folder / "val") + ": 3 images of 2 classes that " +
                                      (folder / "train") + " has not (cat, emu) are left out"}));
  EXPECT_TRUE(open("train").notices.empty());
  folder.write("classes.txt", "a\nb\n");  // the others are left out on purpose
  const DatasetSettings chosen{.name = "image_folder", .directory = folder.path(), .classes = folder / "classes.txt"};
  EXPECT_TRUE(open_dataset(chosen, "test").notices.empty());
  EXPECT_EQ(list_parts({.name = "image_folder", .directory = folder.path()}).notices, test.notices);
}

TEST_F(ImageFolderTest, NoticesAreGivenOnce) {
  folder.classes("train", 4);
  folder.classes("val", 2);
  folder.write("train/a/1.webp", "x");
  EXPECT_EQ(new_notices(open("train")).size(), 1u);
  EXPECT_TRUE(new_notices(open("train")).empty());
  EXPECT_TRUE(new_notices(open("probe")).empty());
}

TEST_F(ImageFolderTest, AListOfNamesAndWordsChoosesTheSameClassesInAllSplits) {
  folder.classes("train", 4);
  folder.classes("val", 2);
  folder.write("classes.txt",
               "\xef\xbb\xbf"
               "b second one\r\n");
  const DatasetSettings chosen{.name = "image_folder", .directory = folder.path(), .classes = folder / "classes.txt"};
  for (const char* split : {"train", "test"}) {
    const Dataset data = open_dataset(chosen, split);
    EXPECT_EQ(data.classes, 1);
    ASSERT_EQ(data.notices.size(), 1u);
    expect_contains(data.notices[0],
                    {"of 1 of 1 class names only the first word is a folder's name ('b' of 'b second one')"});
  }
  EXPECT_EQ(open_dataset(chosen, "test").count, 2);
}

TEST_F(ImageFolderTest, WhatIsNotThereIsSaid) {
  expect_contains(message_of([] { open_dataset({.name = "image_folder"}, "train"); }), {"--data is missing"});
  expect_contains(message_of([] { open_dataset({.name = "imagenet", .directory = "/nowhere"}, "train"); }),
                  {"no folder /nowhere"});
  expect_contains(message_of([&] { open("train", BadImagePolicy::stop, "imagenet"); }), {"neither train/ nor ILSVRC"});
}

TEST_F(ImageFolderTest, BatchesAreViewsOfTheDecodedFiles) {
  folder.classes("train", 5);
  const Dataset data = open("train");
  const LoaderSettings settings = loader_settings(2);
  const Batch batch = batches(data, settings, 1)[0];
  const std::size_t pixels = 16 * 16 * 3;
  std::vector<float> expected(pixels);
  for (std::size_t i = 0; i < 4; ++i) {
    const auto index = static_cast<int>(batch.indices[i]);
    const TestPicture picture = test_picture(index);
    for (std::uint32_t v = 0; v < 2; ++v) {
      const Random random(settings.seed, Purpose::view, 0, static_cast<std::uint64_t>(index), v);
      make_view(picture.pixels.data(), picture.height, picture.width, settings.views[v], random, expected.data());
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.views.data() + (v * 4 + i) * pixels)) << index;
    }
    make_view(picture.pixels.data(), picture.height, picture.width, ViewSettings::plain(16, 18, {0, 0, 0}, {1, 1, 1}),
              Random(0, Purpose::view), expected.data());
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), batch.plain.data() + i * pixels)) << index;
  }
}

TEST_F(ImageFolderTest, BadFilesEndTheRunBeforeItBegins) {
  folder.classes("train", 5);
  folder.write("train/a/101.png", "");
  folder.write("train/b/103.png", "no image at all");
  expect_contains(message_of([&] { open("train"); }),
                  {"train/a/101.png: the file is empty", "2 of 10 files", "--bad-images skip"});
  const Dataset data = open("train", BadImagePolicy::skip);
  EXPECT_EQ(data.count, 8);
  EXPECT_EQ(data.labels, (std::vector<std::int32_t>{0, 0, 0, 0, 1, 1, 1, 1}));
  const std::vector<std::string> messages = data.source->bad_images().take_messages();
  ASSERT_EQ(messages.size(), 2u);
  expect_contains(messages[1], {"train/b/103.png: not a JPEG"});
  EXPECT_EQ(data.source->name(7), "train/b/104.png");
  EXPECT_EQ(data.source->name(8), "train/a/101.png");  // past the images
  EXPECT_EQ(data.source->name(9), "train/b/103.png");
  EXPECT_TRUE(data.source->bad_images().take_messages().empty());
}

TEST_F(ImageFolderTest, TwoEpochsWithDamagedFilesDoNotDependOnTheWorkers) {
  folder.classes("train", 135);
  for (const char* name : {"a/103.png", "a/234.png", "b/150.png"}) folder.cut_in_half("train/" + std::string(name));
  const auto run = [&](int workers, std::set<std::string>& names) {
    const Dataset data = open("train", BadImagePolicy::skip);
    EXPECT_EQ(data.count, 270);
    auto all = batches(data, loader_settings(workers, 30), 18);
    EXPECT_EQ(data.source->bad_images().count(), 3);
    for (const std::string& message : data.source->bad_images().take_messages())
      names.insert(message.substr(0, message.find(':')));
    return all;
  };
  std::set<std::string> names, same_names;
  const auto one = run(1, names), four = run(4, same_names);
  EXPECT_EQ(names.size(), 3u);
  EXPECT_TRUE(names.contains(folder / "train/b/150.png"));
  EXPECT_EQ(names, same_names);
  std::set<std::int64_t> seen;
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].indices, four[i].indices);
    EXPECT_EQ(one[i].labels, four[i].labels);
    EXPECT_EQ(one[i].views, four[i].views);
    EXPECT_EQ(one[i].plain, four[i].plain);
    seen.insert(one[i].indices.begin(), one[i].indices.end());
    for (std::size_t k = 0; k < 30; ++k) EXPECT_EQ(one[i].labels[k], one[i].indices[k] < 135 ? 0 : 1);
  }
  EXPECT_EQ(seen.size(), 267u);
  EXPECT_FALSE(seen.contains(3) || seen.contains(134) || seen.contains(185));
}

TEST_F(ImageFolderTest, AFileThatChangesEndsTheRunWithItsName) {
  folder.classes("train", 4);
  for (const char* change : {"cut", "other", "gone"}) {
    folder.classes("train", 4);
    const Dataset data = open("train");
    const std::string path = folder / "train/b/102.png";
    if (*change == 'c') folder.cut_in_half("train/b/102.png");
    if (*change == 'o') {  // another image of the same size: its time tells
      folder.picture("train/b/102.png", 6);
      fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
    }
    if (*change == 'g') fs::remove(path);
    for (const int workers : {1, 3}) {
      Loader loader(data, loader_settings(workers, 8));
      expect_contains(message_of([&] { loader.next(); }), {path, *change == 'g' ? "cannot open" : "has changed since"});
    }
  }
}

TEST_F(ImageFolderTest, WhereNoImageCanBeReadNothingGoesOn) {
  folder.classes("train", 4);
  const Dataset data = open("train", BadImagePolicy::skip);
  fs::remove_all(folder / "train");
  Loader loader(data, loader_settings(2));
  expect_contains(message_of([&] { loader.next(); }), {"none of the 8 images can be read"});
}

#ifdef VERGENCE_JPEG_TURBO
TEST_F(ImageFolderTest, WhetherAViewOfADamagedJpegCanBeReadDependsOnTheViewAlone) {
  std::vector<std::uint8_t> noise(300 * 400 * 3);  // every row takes as many bytes
  Random random(1, Purpose::view);
  for (std::uint8_t& value : noise) value = static_cast<std::uint8_t>(random.below(256));
  const std::string whole = jpeg_file(noise, 300, 400, {3, 2, 2});
  folder.write("train/a/1.jpg", whole.substr(0, whole.size() * 2 / 3));
  folder.write("train/a/2.jpg", whole);
  const ViewSettings view = [] {
    ViewSettings settings;
    settings.size = 64;
    return settings;
  }();
  std::vector<float> pixels(64 * 64 * 3);
  const auto can_be_read = [&](const Dataset& data, std::uint64_t seed) {
    const WantedView wanted{&view, Random(seed, Purpose::view), pixels.data()};
    return ImageReader(data).make_views_or_next(0, {&wanted, 1}) == 0;
  };
  const Dataset read_before = open("train", BadImagePolicy::skip);
  std::map<bool, std::uint64_t> seen;  // the last seed of each outcome
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const bool alone = can_be_read(open("train", BadImagePolicy::skip), seed);
    EXPECT_EQ(can_be_read(read_before, seed), alone) << seed;
    seen[alone] = seed;
  }
  ASSERT_EQ(seen.size(), 2u) << "a crop above the damage, and one that reaches it";
  EXPECT_EQ(read_before.source->bad_images().count(), 1);
  // What is judged is of the same images: one that could not be read once is left out.
  const auto is_judged = [&](bool outcome) {
    const WantedView wanted{&view, Random(seen[outcome], Purpose::view), pixels.data()};
    return ImageReader(read_before).try_views(0, {&wanted, 1}).has_value();
  };
  EXPECT_TRUE(is_judged(true));
  EXPECT_FALSE(is_judged(false));
  EXPECT_FALSE(is_judged(true));
}

TEST_F(ImageFolderTest, LargeJpegsAreDecodedInPartAndSmall) {
  const int height = 300, width = 400;
  folder.write("train/a/1.jpg", jpeg_file(gradient_picture(height, width, 3), height, width, {3, 2, 2}));
  const Dataset turbo = open("train");
  DatasetSettings others{.name = "image_folder", .directory = folder.path()};
  others.decode = DecodeRule::exact;
  const Dataset exact = open_dataset(others, "train");
  others.jpeg = JpegLibrary::stb;
  const Dataset stb = open_dataset(others, "train");
  const ViewSettings view = ViewSettings::identity(32);
  const auto view_of = [&](const Dataset& data) {
    std::vector<float> pixels(32 * 32 * 3);
    const WantedView wanted{&view, Random(1, Purpose::view), pixels.data()};
    ImageReader(data).make_views(0, {&wanted, 1});
    return pixels;
  };
  const std::vector<float> whole = view_of(stb);
  const auto mean_difference = [&](const std::vector<float>& pixels) {
    double sum = 0;
    for (std::size_t i = 0; i < pixels.size(); ++i) sum += std::abs(pixels[i] - whole[i]);
    return sum / static_cast<double>(pixels.size());
  };
  EXPECT_NE(view_of(turbo), view_of(exact));  // 300 rows become 32: at 1/8 and 1/2
  EXPECT_LT(mean_difference(view_of(turbo)), 1.0 / 255);
  EXPECT_LT(mean_difference(view_of(exact)), 0.3 / 255);
  // what the source was asked for
  ImageBuffer buffer;
  turbo.source->open(0, buffer);
  const Picture part =
      turbo.source->read(0, {.top = 160, .left = 240, .height = 64, .width = 64, .reduction = 2}, buffer);
  EXPECT_EQ(part.reduction, 2);
  EXPECT_LT(part.height * part.width, 100 * 100);
}
#endif

}  // namespace
}  // namespace vergence
