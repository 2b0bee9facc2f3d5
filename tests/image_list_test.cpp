// Which files of a folder are images, of which class.
#include "datasets/image_list.h"

#include <fstream>
#include <gtest/gtest.h>

#include "tests/complaints.h"
#include "tests/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class ImageListTest : public ::testing::Test {
 protected:
  void touch(const std::string& name) const {
    fs::create_directories(fs::path(folder / name).parent_path());
    std::ofstream(folder / name) << "x";
  }
  std::string complaint(const std::vector<std::string>& only = {}) const {
    return message_of([&] { list_images(folder.path(), only); });
  }

  TemporaryFolder folder;
};

TEST_F(ImageListTest, FoldersAreClassesSortedByName) {
  for (const char* name : {"dog/b.JPEG", "dog/a.png", "dog/deep/er/c.jpg", "ant/z.bmp", "ant/readme.txt",
                           "ant/.hidden.jpg", ".git/x.jpg", "labels.csv"})
    touch(name);
  const ImageList list = list_images(folder.path());
  EXPECT_EQ(list.classes, (std::vector<std::string>{"ant", "dog"}));
  EXPECT_EQ(list.files, (std::vector<std::string>{"ant/z.bmp", "dog/a.png", "dog/b.JPEG", "dog/deep/er/c.jpg"}));
  EXPECT_EQ(list.labels, (std::vector<std::int32_t>{0, 1, 1, 1}));
  EXPECT_TRUE(fs::exists(list.path(3)));
}

TEST_F(ImageListTest, AFlatFolderHasNoLabels) {
  for (const char* name : {"2.jpg", "10.jpg", "1.jpg", "notes.md"}) touch(name);
  fs::create_directory(folder / "empty");
  const ImageList list = list_images(folder.path());
  EXPECT_EQ(list.files, (std::vector<std::string>{"1.jpg", "10.jpg", "2.jpg"}));
  EXPECT_TRUE(list.classes.empty());
  EXPECT_TRUE(list.labels.empty());
}

TEST_F(ImageListTest, AListOfClassesLeavesOthersOut) {
  for (const char* name : {"a/1.jpg", "b/1.jpg", "c/1.jpg", "loose.jpg"}) touch(name);
  std::ofstream(folder / "classes.txt") << "# two of them\nc  third\n\na # first\n";
  const std::vector<std::string> names = read_class_names(folder / "classes.txt");
  EXPECT_EQ(names, (std::vector<std::string>{"c", "a"}));
  const ImageList list = list_images(folder.path(), names);
  EXPECT_EQ(list.classes, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(list.files, (std::vector<std::string>{"a/1.jpg", "c/1.jpg"}));
  expect_contains(complaint({"a", "d"}), {"has no folder of the class 'd'"});
}

TEST_F(ImageListTest, WhatCannotBeIsRefused) {
  expect_contains(message_of([] { list_images("/nowhere"); }), {"/nowhere is not a folder"});
  expect_contains(complaint(), {"has no JPEG, PNG or BMP files"});
  touch("a/1.jpg");
  fs::create_directory(folder / "b");
  expect_contains(complaint(), {"/b has no JPEG, PNG or BMP files"});
  touch("loose.jpg");
  expect_contains(complaint(), {"has images (loose.jpg) beside class folders (a)"});
  fs::create_directory_symlink(folder.path(), folder / "a/again");
  expect_contains(complaint(), {"/a/again is a link that leads back to " + folder.path()});
  std::ofstream(folder / "classes.txt") << "a\nb\na\n";
  expect_contains(message_of([&] { read_class_names(folder / "classes.txt"); }), {"names 'a' twice"});
  std::ofstream(folder / "classes.txt") << "# nothing\n";
  expect_contains(message_of([&] { read_class_names(folder / "classes.txt"); }), {"names no classes"});
}

TEST(ImageNet100, ItsListNamesAHundredClasses) {
  EXPECT_EQ(read_class_names(std::string(std::getenv("VERGENCE_SOURCE")) + "/datasets/imagenet100.txt").size(), 100u);
}

}  // namespace
}  // namespace vergence
