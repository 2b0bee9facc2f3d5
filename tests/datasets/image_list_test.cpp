// Which files of a folder are images, of which class.
#include <fstream>
#include <gtest/gtest.h>

#include "datasets/readers/images/list.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

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
  std::ofstream(folder / "classes.txt") << "# two of them\nc\n\na\n";
  const std::vector<std::string> names = read_class_names(folder / "classes.txt");
  EXPECT_EQ(names, (std::vector<std::string>{"c", "a"}));
  const ImageList list = list_images(folder.path(), names);
  EXPECT_EQ(list.classes, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(list.files, (std::vector<std::string>{"a/1.jpg", "c/1.jpg"}));
  expect_contains(complaint({"a", "d"}), {"has no folder of the class 'd'"});
}

TEST(ClassNames, AreWholeLines) {
  EXPECT_EQ(class_names("golden retriever\n#comment\n # no comment\nC#\n\n \t\r\n last", "here"),
            (std::vector<std::string>{"golden retriever", " # no comment", "C#", " last"}));
  EXPECT_EQ(class_names("\xef\xbb\xbfn01440764\r\nn01443537\r\n", "here"),
            (std::vector<std::string>{"n01440764", "n01443537"}));
  EXPECT_EQ(class_names("\xef\xbb\xbf# of two\r\na b\r\n", "here"), (std::vector<std::string>{"a b"}));
  expect_contains(message_of([] { class_names("a b\r\na c\na b\n", "here"); }), {"--classes: here names 'a b' twice"});
  expect_contains(message_of([] {
                    class_names(std::string("\xff\xfe"
                                            "a\0\n\0",
                                            6),
                                "here");
                  }),
                  {"--classes: here is UTF-16, expected UTF-8"});
  expect_contains(message_of([] { class_names(std::string("a\0b\n", 4), "here"); }),
                  {"--classes: here: the name 'a\\x00b' has a byte 0"});
}

TEST_F(ImageListTest, AClassNameIsAWholeLineBeforeItIsAWord) {
  for (const char* name : {"golden", "golden retriever", "n01440764", "n01443537", " blanks ", "C#"})
    touch(std::string(name) + "/1.jpg");
  std::vector<std::string> notices;
  EXPECT_EQ(class_folders(folder.path(), {"golden retriever", "n01440764", " blanks ", "C#", "golden"}, notices),
            (std::vector<std::string>{" blanks ", "C#", "golden", "golden retriever", "n01440764"}));
  EXPECT_EQ(class_folders(folder.path(), {"\tn01440764 "}, notices), (std::vector<std::string>{"n01440764"}));
  EXPECT_TRUE(notices.empty());
  EXPECT_EQ(class_folders(folder.path(), {"n01440764 tench, Tinca tinca", "C#", "n01443537\tgoldfish"}, notices),
            (std::vector<std::string>{"C#", "n01440764", "n01443537"}));
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_EQ(notices[0], "image_folder: " + folder.path() +
                            ": of 2 of 3 class names only the first word is a folder's name ('n01440764' of 'n01440764 "
                            "tench, Tinca tinca')");
  const auto refusal = [&](const std::vector<std::string>& names) {
    return message_of([&] { class_folders(folder.path(), names, notices); });
  };
  expect_contains(refusal({"silver retriever"}), {"has no folder of the class 'silver retriever'"});
  expect_contains(refusal({"n01440764", "n01440764 tench"}),
                  {"the class names 'n01440764' and 'n01440764 tench' stand for the same folder 'n01440764'"});
  for (const char* name : {"..", ".", "golden/../golden", "/tmp", "\xef\xbb\xbfgolden"})
    expect_contains(refusal({name}), {"has no folder of the class"});
  expect_contains(refusal({std::string("golden\0x", 8)}), {"has no folder of the class 'golden\\x00x'"});
}

TEST_F(ImageListTest, AllEndingsOfJpegFilesAreImages) {
  for (const char* name : {"a/1.jfif", "a/2.JPE", "a/3.jif", "a/4.jfi", "a/5.pjpeg", "a/6.pjp", "b/1.JFIF"})
    touch(name);
  EXPECT_EQ(list_images(folder.path()).labels, (std::vector<std::int32_t>{0, 0, 0, 0, 0, 0, 1}));
  EXPECT_TRUE(list_images(folder.path()).notices.empty());
}

TEST_F(ImageListTest, FilesOfOtherKindsAreCounted) {
  for (const char* name : {"a/1.jpg", "a/1.tif", "a/2.TIF", "a/deep/3.tif", "b/1.png", "b/1.heic", "b/1.txt",
                           "b/notes.md", "b/.hidden.webp", "b/Thumbs.db", "b/desktop.ini", "b/README", "b/LICENSE",
                           "b/LICENCE", "labels.csv", "top.webp"})
    touch(name);
  const std::string notice =
      "image_folder: " + folder.path() + ": 4 files of other kinds are not read (3 .tif, 1 .heic)";
  EXPECT_EQ(list_images(folder.path()).notices, (std::vector<std::string>{notice}));
  EXPECT_EQ(
      list_images(folder.path(), {"b"}).notices,
      (std::vector<std::string>{"image_folder: " + folder.path() + ": 1 file of another kind is not read (1 .heic)"}));
  EXPECT_EQ(
      list_images(folder / "b").notices,  // a flat folder
      (std::vector<std::string>{"image_folder: " + (folder / "b") + ": 1 file of another kind is not read (1 .heic)"}));
  touch("c/1.webp");
  touch("c/image without ending");
  touch("c/x.\x1b[31m");
  expect_contains(complaint(), {"/c has no JPEG, PNG or BMP files, but 1 without an ending, 1 .\\x1b[31m, 1 .webp"});
  expect_contains(message_of([&] { list_images(folder / "c"); }), {"/c has no JPEG, PNG or BMP files, but 1 without"});
}

TEST_F(ImageListTest, WhatIsOfNoClassIsNamed) {
  for (const char* name : {"a/1.jpg", "cat/1.jpg", "cat/in/2.jpg", "dog/1.png", "empty/x.txt", "loose.jpg", "list.txt"})
    touch(name);
  EXPECT_EQ(
      left_out_notice(folder.path(), {"a"}, "DIR/train"),
      "image_folder: " + folder.path() +
          ": 3 images of 2 classes that DIR/train has not (cat, dog) and 1 image in no class's folder (loose.jpg) "
          "are left out");
  fs::remove(folder / "loose.jpg");
  EXPECT_EQ(left_out_notice(folder.path(), {"a", "cat", "dog"}, "DIR/train"), "");
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
  expect_contains(complaint(), {"/a/again is a link back to " + folder.path()});
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
