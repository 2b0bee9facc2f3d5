// Packed files: the same images as the folder, made in one go or several, and refused when anything is wrong with them.
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "datasets/class_lists.h"
#include "datasets/loading/image_reader.h"
#include "datasets/loading/loader.h"
#include "datasets/readers/images/folder.h"
#include "datasets/readers/images/pack.h"
#include "datasets/readers/images/packed.h"
#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

class PackedImagesTest : public ::testing::Test {
 protected:
  DatasetSettings settings(const std::string& directory, BadImagePolicy policy = BadImagePolicy::stop) const {
    DatasetSettings settings;
    settings.name = "image_folder";
    settings.directory = directory;
    settings.bad_images = policy;
    return settings;
  }
  PackResult pack(std::int64_t short_side, BadImagePolicy policy = BadImagePolicy::stop) const {
    return pack_images(settings(folder.path(), policy), file, short_side);
  }
  static LoaderSettings loader_settings() {
    LoaderSettings settings;
    settings.batch = 8;
    settings.views.resize(2);
    for (ViewSettings& view : settings.views) view.size = 16;
    settings.workers = 2;
    return settings;
  }
  /// Changes a byte of a file without a trace in its size or time.
  static void flip_byte(const std::string& path, std::int64_t at) {
    const auto time = fs::last_write_time(path);
    std::string bytes = read_file(path);
    bytes[static_cast<std::size_t>(at)] = static_cast<char>(~bytes[static_cast<std::size_t>(at)]);
    std::ofstream(path, std::ios::binary | std::ios::in | std::ios::out) << bytes;
    fs::last_write_time(path, time);
  }

  ImageTree folder;
  TemporaryFolder other;
  const std::string file = other / "images.packed";
};

TEST_F(PackedImagesTest, WithoutShrinkingItIsTheFolder) {
  folder.classes("train", 15);
  folder.classes("val", 4);
  const PackResult result = pack(0);
  EXPECT_EQ(result.images, 38);
  EXPECT_EQ(result.bytes, static_cast<std::int64_t>(fs::file_size(file)));
  EXPECT_FALSE(fs::exists(file + ".partial"));
  for (const char* split : {"train", "probe_without_val", "val", "test"}) {
    const Dataset packed = open_dataset(settings(file), split), files = open_dataset(settings(folder.path()), split);
    EXPECT_EQ(packed.count, files.count) << split;
    EXPECT_EQ(packed.labels, files.labels) << split;
    EXPECT_EQ(packed.mean, files.mean);
    EXPECT_EQ(packed.classes, 2);
  }
  const Dataset packed = open_dataset(settings(file), "train"), files = open_dataset(settings(folder.path()), "train");
  Loader one(packed, loader_settings()), two(files, loader_settings());
  for (int i = 0; i < 4; ++i) {
    const Batch &a = one.next(), &b = two.next();
    EXPECT_EQ(a.indices, b.indices);
    EXPECT_EQ(a.views, b.views);
  }
  verify_packed_images(file);
}

TEST_F(PackedImagesTest, WithoutTestImagesItNamesTheSplitThatThereIs) {
  folder.classes(".", 15);
  pack(0);
  EXPECT_EQ(message_of([&] { open_dataset(settings(file), "test"); }),
            "image_folder: " + file +
                " has no images of the split 'test'; --split val takes every tenth image of the others");
  EXPECT_EQ(open_dataset(settings(file), "val").count, 3);
}

TEST_F(PackedImagesTest, EveryTenthOfFewImagesIsNone) {
  folder.classes(".", 4);
  pack(0);
  EXPECT_EQ(message_of([&] { open_dataset(settings(file), "val"); }),
            "image_folder: " + file + " has 8 images, too few for --split val, which is every tenth of them");
  EXPECT_EQ(open_dataset(settings(file), "probe_without_val").count, 8);
}

TEST_F(PackedImagesTest, ImageNet100TakesItsClassesAsOfAFolder) {
  const auto opened = [](const std::string& name, const std::string& directory, const std::string& split) {
    return open_dataset({.name = name, .directory = directory}, split);
  };
  for (const char* part : {"train/", "val/"}) {
    int number = 0;
    for (const std::string& name : shipped_classes("imagenet100")) folder.picture(part + name + "/1.png", ++number);
    for (const char* name : {"n00000001/1.png", "n01700000/1.png", "n09999999/1.png"})
      folder.picture(part + ""s + name);
  }
  DatasetSettings given = settings(folder.path());
  given.name = "imagenet";
  pack_images(given, file, 0);
  EXPECT_EQ(opened("imagenet", file, "train").count, 103);
  for (const char* split : {"train", "val", "test"}) {
    const Dataset packed = opened("imagenet100", file, split), files = opened("imagenet100", folder.path(), split);
    EXPECT_EQ(packed.classes, 100);
    EXPECT_EQ(packed.count, *split == 'v' ? 10 : 100);
    EXPECT_EQ(packed.class_names, files.class_names);
    EXPECT_EQ(packed.labels, files.labels);
    for (std::int64_t i = 0; i < packed.count; ++i) EXPECT_EQ(packed.image_name(i), files.image_name(i));
  }
}

TEST_F(PackedImagesTest, AClassListChoosesAsAmongFolders) {
  for (const char* part : {"train", "val"}) {
    folder.classes(part, 12);
    folder.picture(part + "/c/1.png"s, 40);
  }
  pack(0);
  DatasetSettings of_file = settings(file), of_folder = settings(folder.path());
  of_file.classes = of_folder.classes = other / "classes.txt";
  for (const char* list : {"b\na\nc\n", "c\na\n", "c of more words\nb\n", "b\n"}) {
    SCOPED_TRACE(list);
    write_atomically(of_file.classes, list);
    for (const char* split : {"train", "val", "probe_without_val", "test"}) {
      const Dataset packed = open_dataset(of_file, split), files = open_dataset(of_folder, split);
      EXPECT_EQ(packed.class_names, files.class_names);
      EXPECT_EQ(packed.labels, files.labels);
      EXPECT_EQ(packed.notices.size(), list[1] == ' ' ? 1u : 0u);
      ASSERT_EQ(packed.count, files.count);
      for (std::int64_t i = 0; i < packed.count; ++i) EXPECT_EQ(packed.image_name(i), files.image_name(i));
    }
  }
  write_atomically(of_file.classes, "a\nd e\n");
  EXPECT_EQ(message_of([&] { open_dataset(of_file, "train"); }), "image_folder: " + file + " has no class 'd e'");
  write_atomically(of_file.classes, "a\na x\n");
  expect_contains(message_of([&] { open_dataset(of_file, "train"); }), {"stand for the same class 'a'"});
}

TEST_F(PackedImagesTest, TestImagesAreReadableOnesOfChosenClasses) {
  folder.classes("train", 12);
  for (const char* name : {"val/a/1.png", "val/b/1.png"}) folder.picture(name);
  folder.cut_in_half("val/b/1.png");
  pack(0, BadImagePolicy::skip);
  DatasetSettings given = settings(file);
  given.classes = other / "classes.txt";
  write_atomically(given.classes, "a");
  EXPECT_TRUE(has_test_split(given));
  EXPECT_EQ(open_dataset(given, "test").count, 1);
  write_atomically(given.classes, "b");
  EXPECT_FALSE(has_test_split(given));
  expect_contains(message_of([&] { open_dataset(given, "test"); }), {file + " has no images of the split 'test'"});
}

TEST_F(PackedImagesTest, ImageNet100NeedsItsClasses) {
  for (const char* inner : {"train/n02869837/1.png", "train/n01749939/1.png"}) folder.picture(inner);
  pack(0);
  EXPECT_EQ(open_dataset(settings(file), "train").count, 2);
  expect_contains(message_of([&] { open_dataset({.name = "imagenet100", .directory = file}, "train"); }),
                  {"imagenet100: " + file + " has no class 'n", "build/pack DIR FILE --dataset imagenet100"});
}

TEST_F(PackedImagesTest, ClassesBesideNoneAreRefusedBeforeTheWork) {
  folder.picture("train/1.png");
  folder.classes("val", 2);
  EXPECT_EQ(open_dataset(settings(folder.path()), "test").classes, 2);
  expect_contains(message_of([&] { pack(0); }), {folder / "train has no folders of classes", folder / "val has"});
  EXPECT_FALSE(fs::exists(file) || fs::exists(file + ".partial"));
}

TEST_F(PackedImagesTest, TheShortSideShrinksAndNothingGrows) {
  folder.picture("0.png", 6);  // 26 x 19
  folder.picture("1.png", 2);  // 22 x 20
  folder.picture("2.png", 0);  // 20 x 18
  pack(19);
  const PackedImages images(file);
  EXPECT_EQ(images.short_side(), 19);
  EXPECT_TRUE(images.classes().empty());
  EXPECT_EQ(images.name(1), "1.png");
  const auto is = [&](std::int64_t i, std::int64_t height, std::int64_t width) {
    return images.size(i).height == height && images.size(i).width == width;
  };
  EXPECT_TRUE(is(0, 26, 19));
  EXPECT_TRUE(is(1, 20, 19));  // 22 * 19 / 20 = 20.9
  EXPECT_TRUE(is(2, 20, 18));
  const TestPicture same = test_picture(0), shrunk = test_picture(2);
  std::string buffer;
  EXPECT_EQ(std::memcmp(images.pixels(2, buffer), same.pixels.data(), same.pixels.size()), 0);
  // as the resize of views, rounded: the crop is the whole image, which must be square there
  double sum[2] = {0, 0};
  for (const std::uint8_t value : shrunk.pixels) sum[0] += value / static_cast<double>(shrunk.pixels.size());
  const std::uint8_t* const made = images.pixels(1, buffer);
  for (int i = 0; i < 20 * 19 * 3; ++i) sum[1] += made[i] / (20.0 * 19 * 3);
  EXPECT_NEAR(sum[0], sum[1], 2);
}

TEST_F(PackedImagesTest, AShrunkImageIsTheResizedOneRounded) {
  folder.picture("0.png", 0);
  const TestPicture picture = test_picture(0);  // 20 x 18
  std::vector<std::uint8_t> square;             // of 18 x 18, which views can resize as well
  for (int y = 0; y < 18; ++y)
    square.insert(square.end(), picture.pixels.begin() + y * 18 * 3, picture.pixels.begin() + (y + 1) * 18 * 3);
  std::vector<std::string> rows;
  for (int y = 0; y < 18; ++y) rows.emplace_back(square.begin() + y * 18 * 3, square.begin() + (y + 1) * 18 * 3);
  folder.write("0.png", png_file(rows, 18, {}));
  pack(11);
  const PackedImages images(file);
  std::vector<float> view(11 * 11 * 3);
  make_view(square.data(), 18, 18, ViewSettings::identity(11), Random(1, Purpose::view), view.data());
  std::string buffer;
  const std::uint8_t* const made = images.pixels(0, buffer);
  for (std::size_t i = 0; i < view.size(); ++i) EXPECT_NEAR(made[i], 255 * view[i], 0.501) << i;
}

TEST_F(PackedImagesTest, AnUnfinishedFileIsGoneOnWith) {
  folder.classes("train", 10);
  folder.cut_in_half("train/b/105.png");
  expect_contains(message_of([&] { pack(0); }), {"train/b/105.png: damaged image"});
  EXPECT_FALSE(fs::exists(file));
  EXPECT_TRUE(fs::exists(file + ".partial"));
  {  // nobody else may write it meanwhile
    const int descriptor = ::open((file + ".partial").c_str(), O_RDWR);
    ASSERT_EQ(::flock(descriptor, LOCK_EX), 0);
    expect_contains(message_of([&] { pack(0); }), {"another process is writing"});
    ::close(descriptor);
  }
  const PackResult result = pack(0, BadImagePolicy::skip);
  EXPECT_EQ(result.images, 19);
  EXPECT_EQ(result.bad, 1);
  EXPECT_GT(result.done_before, 0);
  EXPECT_EQ(open_dataset(settings(file), "train").count, 19);
  const Dataset packed = open_dataset(settings(file), "train");
  const Dataset files = open_dataset(settings(folder.path(), BadImagePolicy::skip), "train");
  const ViewSettings view = ViewSettings::identity(16);
  std::vector<float> a(16 * 16 * 3), b(a.size());
  const WantedView of_packed{&view, Random(1, Purpose::view), a.data()},
      of_file{&view, Random(1, Purpose::view), b.data()};
  for (std::int64_t i = 0; i < 19; ++i) {
    ImageReader(packed).make_views(i, {&of_packed, 1});
    ImageReader(files).make_views(i < 15 ? i : i + 1, {&of_file, 1});
    EXPECT_EQ(a, b) << i;
  }
  expect_contains(message_of([&] { pack(0); }), {file, "is there already"});
}

TEST_F(PackedImagesTest, AnUnfinishedFileIsNotOpened) {
  folder.classes("train", 10);
  folder.cut_in_half("train/b/105.png");
  const std::string partial = file + ".partial";
  const std::string refusal = partial + ": packing has not finished; the same pack command goes on with it";
  expect_contains(message_of([&] { pack(0); }), {"damaged"});
  EXPECT_EQ(message_of([&] { open_dataset(settings(partial), "train"); }), refusal);
  EXPECT_EQ(message_of([&] { has_test_split(settings(partial)); }), refusal);
  EXPECT_EQ(message_of([&] { verify_packed_images(partial); }), refusal);
  fs::rename(partial, file);  // by hand
  expect_contains(message_of([&] { PackedImages{file}; }), {": packing has not finished"});
  fs::rename(file, partial);
  EXPECT_EQ(pack(0, BadImagePolicy::skip).images, 19);
  EXPECT_EQ(verify_packed_images(file),
            "19 of 20 images have their checksum; 1 could not be read when the file was made");
}

TEST_F(PackedImagesTest, AFileThatOnlyLacksItsNameGetsIt) {
  folder.classes("train", 6);
  pack(0);
  const std::string whole = read_file(file), partial = file + ".partial";
  EXPECT_EQ(verify_packed_images(file), "every image has its checksum");
  fs::rename(file, partial);
  EXPECT_EQ(pack(0).done_before, 12);
  EXPECT_EQ(read_file(file), whole);
  // With a damaged image it is unfinished until that has been made again, here from a file that cannot be read.
  flip_byte(file, static_cast<std::int64_t>(whole.size()) - 1);
  fs::rename(file, partial);
  const std::string last = folder / "train/b/105.png";
  flip_byte(last, static_cast<std::int64_t>(fs::file_size(last) / 2));
  expect_contains(message_of([&] { pack(0); }), {"train/b/105.png: damaged image"});
  expect_contains(message_of([&] { PackedImages{partial}; }), {": packing has not finished"});
}

TEST_F(PackedImagesTest, AFileOfAnEarlierVersionIsFinished) {
  folder.classes("train", 6);
  pack(0);
  std::string bytes = read_file(file);
  const std::size_t at = bytes.find("\"finished\":\"1\"");
  ASSERT_NE(at, std::string::npos);
  write_atomically(file, bytes.replace(at, 10, "\"Finished\""));
  EXPECT_EQ(open_dataset(settings(file), "train").count, 12);
  EXPECT_EQ(verify_packed_images(file), "every image has its checksum");
}

TEST_F(PackedImagesTest, OtherFilesAreNoPackedImages) {
  for (const std::string& bytes : {"PK\x03\x04 and the rest of an archive"s, "Some text, of more than a word.\n"s,
                                   "short"s, std::string(4096, '\0')}) {
    write_atomically(file, bytes);
    for (const char* name : {"image_folder", "imagenet100"})
      EXPECT_EQ(message_of([&] { open_dataset({.name = name, .directory = file}, "train"); }),
                file + ": is no folder and no file that pack has made");
  }
}

TEST_F(PackedImagesTest, AnUnfinishedFileOfOtherImagesIsBegunAnew) {
  folder.classes("train", 5);
  folder.cut_in_half("train/b/104.png");
  expect_contains(message_of([&] { pack(0); }), {"damaged"});
  folder.classes("train", 5);  // written anew: other times
  fs::last_write_time(folder / "train/a/100.png", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_EQ(pack(0).done_before, 0);
  verify_packed_images(file);
}

TEST_F(PackedImagesTest, AFileThatChangesEndsTheRunWithItsName) {
  folder.classes("train", 8);
  for (const char* change : {"cut", "written", "replaced", "removed", "unreadable", "silently"}) {
    fs::remove(file);
    pack(0);
    const Dataset data = open_dataset(settings(file), "train");
    if (*change == 's')  // every image
      for (auto at = static_cast<std::int64_t>(fs::file_size(file)) - 1; at > 4000; at -= 500) flip_byte(file, at);
    Loader loader(data, loader_settings());
    if (*change != 's') loader.next();
    if (*change == 'c') fs::resize_file(file, fs::file_size(file) / 2);
    if (*change == 'w') fs::last_write_time(file, fs::last_write_time(file) + std::chrono::seconds(1));
    if (*change == 'r') fs::remove(file);
    if (std::string(change) == "replaced") fs::copy_file(folder / "train/a/100.png", file);
    if (*change == 'u') fs::permissions(file, fs::perms::none);
    std::string text;
    for (int i = 0; i < 6 && text.empty(); ++i) text = error_or("", [&] { loader.next(); });
    expect_contains(text, {file});
    if (*change == 's') expect_contains(text, {"train/", "do not fit", "checksum"});
  }
}

TEST_F(PackedImagesTest, DamagedFilesAreRefused) {
  folder.classes("train", 6);
  pack(0);
  const std::string good = read_file(file);
  EXPECT_EQ(message_of([&] { open_dataset(settings(file), "test"); }).find("image_folder: "), 0u);
  for (std::size_t size = 0; size < good.size(); size += good.size() / 40) {
    write_atomically(file, good.substr(0, size));
    expect_contains(message_of([&] { PackedImages{file}; }), {file});
  }
  write_atomically(file, good + "x");
  expect_contains(message_of([&] { PackedImages{file}; }), {file});
  const TensorEntry one{"offsets", "I64", {0}, nullptr, 0};
  write_safetensors(file, {one}, {{"format", "pt"}});
  expect_contains(message_of([&] { PackedImages{file}; }), {"not a file of packed images"});
  write_atomically(file, good);
  flip_byte(file, static_cast<std::int64_t>(good.size()) - 1);
  expect_contains(message_of([&] { verify_packed_images(file); }), {"image 11 (train/b/105.png) is damaged"});
  std::string tables = good;  // a size that is not the image's
  const std::size_t sizes = good.find("\x14\0\0\0\x12\0\0\0"s);
  ASSERT_NE(sizes, std::string::npos);
  tables[sizes] = 19;
  write_atomically(file, tables);
  expect_contains(message_of([&] { PackedImages{file}; }), {"begins at byte"});
}

#ifdef VERGENCE_JPEG_TURBO
TEST_F(PackedImagesTest, ExactAndFastDecodeSmallWhatIsShrunk) {
  const int height = 300, width = 400, side = 50;
  std::vector<std::uint8_t> busy = gradient_picture(height, width, 3);
  for (std::size_t i = 0; i < busy.size(); ++i) busy[i] = static_cast<std::uint8_t>(busy[i] + (i / 3 % 7) * 5);
  std::ofstream(folder / "0.jpg", std::ios::binary) << jpeg_file(busy, height, width, {3, 2, 2});
  DatasetSettings given = settings(folder.path());
  std::string buffer;
  const auto packed = [&](DecodeRule rule, JpegLibrary library) {
    fs::remove(file);
    given.decode = rule, given.jpeg = library;
    pack_images(given, file, side);
    const std::uint8_t* pixels = PackedImages(file).pixels(0, buffer);
    return std::vector<std::uint8_t>(pixels, pixels + side * (side * width / height) * 3);
  };
  const auto whole = packed(DecodeRule::exact, JpegLibrary::stb);
  const auto apart = [&](const std::vector<std::uint8_t>& pixels) {
    double sum = 0;
    for (std::size_t i = 0; i < whole.size(); ++i) sum += std::abs(pixels[i] - whole[i]);
    return sum / static_cast<double>(whole.size());
  };
  const double exact = apart(packed(DecodeRule::exact, JpegLibrary::turbo));
  const double fast = apart(packed(DecodeRule::fast, JpegLibrary::turbo));
  EXPECT_LT(exact, 0.3);
  EXPECT_GT(fast, 2 * exact);
}

/// Half of the images by one rule and half by the other would be a file of neither.
TEST_F(PackedImagesTest, AnUnfinishedFileOfAnotherDecodeRuleIsBegunAnew) {
  folder.classes("train", 3);
  pack(0);
  fs::rename(file, file + ".partial");
  DatasetSettings given = settings(folder.path());
  given.decode = DecodeRule::exact;
  EXPECT_EQ(pack_images(given, file, 0).done_before, 0);
  fs::rename(file, file + ".partial");
  EXPECT_EQ(pack_images(given, file, 0).done_before, 6);
  fs::rename(file, file + ".partial");
  given.jpeg = JpegLibrary::stb;
  EXPECT_EQ(pack_images(given, file, 0).done_before, 0) << "likewise of another decoder";
}
#endif

TEST_F(PackedImagesTest, NamesAreThoseInTheFolderHoweverThatIsWritten) {
  folder.picture("ILSVRC/Data/CLS-LOC/train/a/1.png");
  folder.picture("ILSVRC/Data/CLS-LOC/train/b/1.png");
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  for (const std::string given : {".", "./", "ILSVRC/..", "./ILSVRC/../."}) {
    fs::remove(file);
    pack_images(settings(given), file, 0);
    EXPECT_EQ(PackedImages(file).name(0), "ILSVRC/Data/CLS-LOC/train/a/1.png") << given;
    EXPECT_EQ(open_image_folder(settings(given), "train").image_name(1), "ILSVRC/Data/CLS-LOC/train/b/1.png") << given;
  }
  fs::current_path(before);
}

}  // namespace
}  // namespace vergence
