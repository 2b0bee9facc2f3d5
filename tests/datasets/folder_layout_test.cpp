// Folders one level too high or too low, and other spellings of train, val and test: read rightly, or refused with the
// right folder's name.
#include <gtest/gtest.h>

#include "datasets/readers/images/folder.h"
#include "datasets/readers/images/layout.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"

namespace vergence {
namespace {

class FolderLayout : public ::testing::Test {
 protected:
  Dataset open(const std::string& split, const std::string& inner = ".") const {
    return open_dataset({.name = "image_folder", .directory = folder / inner}, split);
  }
  std::string complaint(const std::string& inner = ".", const std::string& name = "image_folder") const {
    return message_of([&] { open_dataset({.name = name, .directory = folder / inner}, "train"); });
  }
  void pictures(const std::vector<const char*>& names) const {
    for (const char* name : names) folder.picture(name);
  }

  ImageTree folder;
};

TEST_F(FolderLayout, OtherSpellingsAreTheSplitsAndAreTold) {
  const std::pair<const char*, const char*> spellings[] = {
      {"Train", "Val"}, {"TRAIN", "TEST"}, {"Training", "Testing"}, {"training", "validation"}, {"train", "valid"}};
  for (const auto& [train, test] : spellings) {
    SCOPED_TRACE(train);
    const std::string inner = std::string("of_") + train + test;
    folder.classes(inner + "/" + train, 4);
    folder.classes(inner + "/" + test, 2);
    const Dataset data = open("train", inner);
    EXPECT_EQ(data.count, 8);
    EXPECT_EQ(data.classes, 2);
    EXPECT_EQ(open("test", inner).count, 4);
    ASSERT_EQ(data.notices.size(), 1u);
    EXPECT_EQ(data.notices, open("test", inner).notices);
    expect_contains(data.notices[0], {folder / inner, ": takes ", std::string(test) + "/ as "});
  }
  folder.classes("three/train", 4);
  folder.classes("three/valid", 1);
  folder.classes("three/test", 2);
  EXPECT_EQ(open("val", "three").count, 2);
  EXPECT_EQ(open("test", "three").count, 4);
  EXPECT_EQ(open("test", "three").notices,
            (std::vector<std::string>{"image_folder: " + (folder / "three") + ": takes valid/ as val/"}));
  folder.classes("three/training", 1);  // beside the usual name it is another folder
  EXPECT_EQ(open("train", "three").count, 8);
  folder.classes("two/Train", 1);
  folder.classes("two/training", 1);
  expect_contains(complaint("two"), {"has Train/ and training/, expected one, called train"});
}

TEST_F(FolderLayout, AFolderOneLevelTooHighIsRefusedWithTheRightOne) {
  folder.classes("imagenette/train", 4);
  folder.classes("imagenette/val", 2);
  const std::string right = "has imagenette/train/, which is not a class: use --data " + (folder / "./imagenette");
  folder.write("documents/a.txt", "no images");
  expect_contains(complaint(), {right});
  pictures({"others/1.png", "others/2.png"});  // whatever lies beside it
  expect_contains(complaint(), {right});
  EXPECT_EQ(open("train", "imagenette").count, 8);
  folder.classes("high/up/in/Training", 2);
  folder.classes("high/up/in/Test", 2);
  expect_contains(complaint("high"),
                  {"has up/in/Training/, which is not a class: use --data " + (folder / "high/up/in")});
  folder.classes("only/set/train", 2);
  folder.classes("only/__MACOSX/set", 1);
  expect_contains(complaint("only"), {"has set/train/"});
  folder.classes("twice/train/train", 2);
  folder.classes("twice/train/val", 2);
  expect_contains(complaint("twice"), {"has train/, which is not a class: use --data " + (folder / "twice/train")});
  expect_contains(complaint(".", "imagenet"), {"has imagenette/train/, but no train/ itself: use --data "});
}

TEST_F(FolderLayout, JudgedImagesBesideClassesAreRefused) {
  folder.classes("a", 2);
  folder.classes("one/val", 2);
  expect_contains(complaint("one"),
                  {"has val/ and no classes beside it, expected train/ with val/ or test/, or --data"});
  folder.classes("mixed", 2);
  folder.classes("mixed/test", 2);
  expect_contains(complaint("mixed"),
                  {"has test/, which holds folders, beside a/, expected train/ with val/ or test/"});
}

TEST_F(FolderLayout, AJudgedPartWithoutFoldersIsNotReadAndTold) {
  folder.classes("flat/train", 5);
  pictures({"flat/val/1.png", "flat/val/2.png"});
  const auto told = [&](const std::string& part) {
    return "image_folder: " + (folder / "flat") + ": does not read " + part +
           "/, expected a folder for each class in it";
  };
  EXPECT_EQ(open("train", "flat").notices, (std::vector<std::string>{told("val")}));
  EXPECT_EQ(open("val", "flat").notices, (std::vector<std::string>{told("val")})) << "every tenth image of train/";
  folder.classes("flat/test", 2);
  EXPECT_EQ(open("val", "flat").notices, (std::vector<std::string>{told("val")}));
  folder.classes("labeled/train", 4);
  folder.classes("labeled/val", 2);
  pictures({"labeled/test/1.png"});
  EXPECT_EQ(open("test", "labeled").notices, std::vector<std::string>{}) << "val/ stands for it";
  EXPECT_EQ(open("test", "labeled").count, 4);
}

TEST_F(FolderLayout, AClassMayHaveSuchAName) {
  pictures({"traffic/Bus/1.png", "traffic/Car/1.png", "traffic/Train/1.png"});
  const Dataset data = open("train", "traffic");
  EXPECT_EQ(data.classes, 3);
  EXPECT_EQ(data.notices,
            (std::vector<std::string>{"image_folder: " + (folder / "traffic") + ": Train/ is taken for a class"}));
  pictures(
      {"vehicles/train/bus/1.png", "vehicles/train/train/1.png", "vehicles/val/bus/1.png", "vehicles/val/train/1.png"});
  EXPECT_EQ(open("train", "vehicles").classes, 2);
  EXPECT_EQ(open("test", "vehicles").count, 2);
  EXPECT_TRUE(open("train", "vehicles").notices.empty());
  pictures({"coarse/animals/cat/1.png", "coarse/vehicles/car/1.png", "coarse/vehicles/train/1.png"});
  EXPECT_EQ(open("train", "coarse").classes, 2);
  pictures({"parts/cat/train/1.png", "parts/dog/train/1.png"});
  EXPECT_EQ(open("train", "parts").count, 2);
  pictures({"small/car/1.png", "small/train/1.png"});
  expect_contains(complaint("small"), {"has train/ beside car/", "put all of them into a folder train"});
}

}  // namespace
}  // namespace vergence
