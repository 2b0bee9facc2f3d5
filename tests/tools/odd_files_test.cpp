// FIFOs, sockets, devices, folders and links to nowhere where data are expected: no reader waits for them, none breaks,
// and the one line of its complaint names them.
#include "tests/support/odd_files.h"

#include <csignal>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <thread>

#include "datasets/dataset.h"
#include "datasets/readers/images/folder.h"
#include "datasets/readers/images/list.h"
#include "datasets/readers/images/pack.h"
#include "datasets/readers/images/packed.h"
#include "datasets/verify.h"
#include "engine/io/files.h"
#include "engine/io/safetensors.h"
#include "models/encoders/resnet.h"
#include "ssl/options/options.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/npy_files.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// A test that waits for a FIFO's writer is ended by SIGALRM.
class OddFiles : public ::testing::Test {
 protected:
  OddFiles() { ::alarm(120); }
  ~OddFiles() override { ::alarm(0); }

  Dataset open(const std::string& name, const std::string& split = "train",
               BadImagePolicy policy = BadImagePolicy::stop) const {
    return open_dataset({.name = name, .directory = folder.path(), .bad_images = policy}, split);
  }
  std::string complaint(const std::string& name, const std::string& split = "train") const {
    return message_of([&] { open(name, split); });
  }

  ImageTree folder;
};

TEST_F(OddFiles, AmongImagesAreBadImages) {
  for (const std::string& kind : odd_kinds()) {
    if (kind == "folder") continue;
    folder.classes("train", 4);
    const std::string odd = folder / "train/a/odd.png";
    make_odd(odd, kind);
    expect_contains(complaint("image_folder"), {odd + ": ", "(1 of 9 files cannot be read; --bad-images skip"});
    const Dataset data = open("image_folder", "train", BadImagePolicy::skip);
    EXPECT_EQ(data.count, 8) << kind;
    const std::vector<std::string> told = data.source->bad_images().take_messages();
    ASSERT_EQ(told.size(), 1u) << kind;
    expect_contains(told.front(), {odd + ": "});
    const std::string packed = folder / (kind + ".packed");
    const DatasetSettings settings{.name = "image_folder", .directory = folder.path()};
    expect_contains(message_of([&] { pack_images(settings, packed, 0); }), {odd + ": "});
  }
  make_odd(folder / "train/a/odd.png", "FIFO");
  expect_contains(complaint("image_folder"), {"odd.png: cannot read: it is a FIFO, expected a file"});
  make_odd(folder / "train/a/odd.png", "socket");
  expect_contains(complaint("image_folder"), {"odd.png: cannot read: it is a socket, expected a file"});
  make_odd(folder / "train/a/odd.png", "device");
  expect_contains(complaint("image_folder"), {"odd.png: cannot read: it is a device, expected a file"});
  make_odd(folder / "train/a/odd.png", "circle");
  expect_contains(complaint("image_folder"), {"odd.png: cannot open: Too many levels of symbolic links"});
}

TEST_F(OddFiles, OfOtherNamesArePassedOverAsFilesAre) {
  folder.classes("train", 4);
  for (const std::string& kind : odd_kinds())
    for (const std::string where : {"", "train/", "train/a/"})
      if (kind != "folder" || where == "train/a/") make_odd(folder / (where + "an odd " + kind), kind);
  EXPECT_EQ(open("image_folder").count, 8);
  EXPECT_EQ(open("image_folder").classes, 2);
}

TEST_F(OddFiles, WhatTurnsOddWhileTheRunGoesOnIsRefused) {
  folder.classes("train", 2);
  const Dataset data = open("image_folder");
  make_odd(folder / "train/a/100.png", "FIFO");
  ImageBuffer buffer;
  expect_contains(message_of([&] { data.source->open(0, buffer); }), {"train/a/100.png: cannot read: it is a FIFO"});
}

TEST_F(OddFiles, AFolderWithTheNameOfAnImageIsAFolder) {
  folder.picture("train/a/1.png");
  folder.picture("train/a/x.png/2.png");
  folder.picture("train/b.png/3.png");
  fs::create_directory(folder / "train/a/empty.png");
  EXPECT_EQ(list_images(folder / "train").files, (std::vector<std::string>{"a/1.png", "a/x.png/2.png", "b.png/3.png"}));
}

TEST_F(OddFiles, LinksThatLeadBackAreRefused) {
  folder.classes("train", 1);
  const std::string again = folder / "train/a/again";
  const auto expect_refused = [&](const std::string& back) {
    const std::string text = message_of([&] { list_images(folder / "train"); });
    expect_contains(text, {" is a link back to " + back + ", a folder above it; expected no cycles"});
  };
  fs::create_directory_symlink(".", again);
  expect_refused(folder / "train/a");
  fs::remove(again);
  fs::create_directory_symlink("..", again);
  expect_refused(folder / "train");
  fs::remove(again);
  fs::create_directory_symlink("../b", again);  // no circle: the other class's images once more
  EXPECT_EQ(list_images(folder / "train").files.size(), 3u);
  fs::create_directory_symlink("../a", folder / "train/b/back");
  expect_refused(folder / "train/a");
  fs::remove(again);
  fs::remove(folder / "train/b/back");
  fs::create_directory_symlink(folder / "train", folder / "train/c");
  expect_refused(folder / "train");
  expect_contains(message_of([&] { list_images(folder / "train", {"c"}); }), {"a folder above it"});
}

TEST_F(OddFiles, AsAFolderOfImages) {
  for (const std::string& kind : odd_kinds()) {
    const std::string path = folder / kind;
    make_odd(path, kind);
    for (const char* name : {"image_folder", "imagenet", "cifar10", "cifar100", "stl10", "npy"})
      expect_contains(message_of([&] { open_dataset({.name = name, .directory = path}, "train"); }), {path});
    expect_contains(message_of([&] { PackedImages{path}; }), {path});
    if (kind != "folder") expect_contains(message_of([&] { list_images(path); }), {path, "is not a folder"});
  }
}

TEST_F(OddFiles, AmongTheFilesOfADataSet) {
  const std::string image = std::string(96 * 96 * 3, 'x');
  for (const std::string& kind : odd_kinds()) {
    const auto odd = [&](const std::string& name) {
      make_odd(folder / name, kind);
      return folder / name;
    };
    for (const char* name : {"data_batch_1", "test_batch.bin"}) odd(name);
    expect_contains(complaint("cifar10"), {"data_batch_1", folder.path()});
    expect_contains(complaint("cifar10", "test"), {"test_batch.bin", folder.path()});

    folder.write("stl10/unlabeled_X.bin", image);
    fs::remove_all(folder / "stl10/test_y.bin");
    folder.write("stl10/test_X.bin", image);
    const auto stl10 = [&](const char* split) {
      return message_of([&] { open_dataset({.name = "stl10", .directory = folder / "stl10"}, split); });
    };
    odd("stl10/train_X.bin");
    expect_contains(stl10("train"), {folder / "stl10/train_X.bin: "});
    odd("stl10/test_y.bin");
    expect_contains(stl10("test"), {folder / "stl10/test_y.bin: "});

    odd("train.npy");
    expect_contains(complaint("npy"), {"npy: " + folder.path()});
    fs::remove_all(folder / "train.npy");
    folder.write("train.npy", npy_array("|u1", {2, 2, 2}, "01234567"));
    odd("train_labels_0.npy");
    expect_contains(complaint("npy"), {folder / "train_labels_0.npy: cannot be read: "});
    fs::remove_all(folder / "train_labels_0.npy");
  }
}

TEST_F(OddFiles, AsFilesThatAreVerified) {
  for (const std::string& kind : odd_kinds()) {
    make_odd(folder / "train", kind);
    expect_contains(message_of([&] {
                      verify_dataset({.name = "cifar100", .directory = folder.path()}, [](const std::string&) {});
                    }),
                    {folder.path()});
  }
}

TEST_F(OddFiles, AsATableOfSolutions) {
  folder.classes("ILSVRC/Data/CLS-LOC/train", 1);
  folder.picture("ILSVRC/Data/CLS-LOC/val/1.png");
  for (const std::string& kind : odd_kinds()) {
    make_odd(folder / "LOC_val_solution.csv", kind);
    expect_contains(complaint("imagenet", "test"), {folder.path() + " has no test/ or val/ with a folder"});
  }
}

TEST_F(OddFiles, AsFilesOfTensorsAndOptions) {
  for (const std::string& kind : odd_kinds()) {
    const std::string path = folder / kind;
    make_odd(path, kind);
    expect_contains(message_of([&] { SafetensorsFile{path}; }), {path});
    expect_contains(message_of([&] { MappedFile{path}; }), {path});
    expect_contains(message_of([&] { read_file(path); }), {path});
    if (kind == "FIFO") continue;  // for a process that writes options
    const char* arguments[] = {"pretrain", "--config", path.c_str()};
    expect_contains(message_of([&] { parse_pretrain(3, arguments); }), {path});
    expect_contains(message_of([&] { read_class_names(path); }), {path});
  }
}

TEST_F(OddFiles, AFileThatAnotherHasLeasedIsReadWhenItIsGivenBack) {
  folder.write("leased", "text");
  const int holder = ::open((folder / "leased").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(holder, 0);
  ::signal(SIGIO, SIG_IGN);  // how the system asks for it
  if (::fcntl(holder, F_SETLEASE, F_WRLCK) != 0) GTEST_SKIP() << "no leases on this file system";
  std::jthread server([&] {
    ::usleep(50000);
    ::fcntl(holder, F_SETLEASE, F_UNLCK);
  });
  EXPECT_EQ(read_file(folder / "leased"), "text");
  server.join();
  ::close(holder);
}

TEST_F(OddFiles, TextsMayComeFromAProcess) {
  folder.classes("train", 2);
  const std::string classes = folder / "classes", config = folder / "config.toml";
  const auto write_to = [](const std::string& path, const std::string& text) {
    return std::jthread([=] { std::ofstream(path) << text; });
  };
  make_odd(classes, "FIFO");
  std::jthread writer = write_to(classes, "b\n");
  const DatasetSettings settings{.name = "image_folder", .directory = folder.path(), .classes = classes};
  EXPECT_EQ(open_dataset(settings, "train").count, 2);
  writer.join();
  EXPECT_EQ(open_dataset(settings, "probe").count, 2) << "what the process wrote is known";

  make_odd(config, "FIFO");
  writer = write_to(config, "width = 24\n");
  const char* arguments[] = {"pretrain", "--config", config.c_str()};
  EXPECT_EQ(parse_pretrain(3, arguments).components.get<ResNetSettings>().width, 24);
  writer.join();
  expect_contains(message_of([] { read_text("/dev/zero"); }), {"/dev/zero: has more than 16777216 bytes"});
}

}  // namespace
}  // namespace vergence
