// Runs whose data go bad on the way: they end with the file's name, and go on from their last checkpoint.
#include <gtest/gtest.h>

#include "datasets/fingerprint.h"
#include "datasets/loading/loader.h"
#include "datasets/readers/images/pack.h"
#include "engine/io/files.h"
#include "models/encoders/resnet.h"
#include "ssl/options/table.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/run_data.h"
#include "ssl/training/stages.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/npy_files.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class BadDataRun : public ::testing::Test {
 protected:
  Options options(const std::string& data, const std::string& run) const {
    Options options;
    options.dataset = "image_folder";
    options.data = data;
    options.image_size = 16;
    options.components.get<ResNetSettings>().width = 4;
    options.batch = 4;
    options.epochs = 2;
    options.lr = 0.01;
    options.warmup_epochs = 0;
    options.checkpoint_every = 1;
    options.out = folder / run;
    return options;
  }
  /// The name of an image that the run reads in the given step of its first epoch (from 0).
  std::string read_in_step(std::int64_t step, std::int64_t count) const {
    LoaderSettings settings;
    settings.batch = 4;
    const std::int64_t index = batch_indices(epoch_order(count, 1, 0), settings, step)[0], half = count / 2;
    return (index < half ? "a/" : "b/") + std::to_string(100 + index % half) + ".png";
  }
  std::int64_t checkpointed(const std::string& run) const {
    return Checkpoint(folder / (run + "/checkpoint.safetensors")).position().step;
  }

  ImageTree images;
  TemporaryFolder folder;
};

TEST_F(BadDataRun, ADamagedFileEndsItWithItsNameAndItsCheckpoint) {
  images.classes("train", 16);
  const std::string name = read_in_step(5, 32);
  const std::string good = images.folder().bytes("train/" + name);
  images.cut_in_half("train/" + name);
  Options run = options(images.path(), "run");
  expect_contains(message_of([&] { pretrain(run); }), {images / ("train/" + name), "damaged"});
  EXPECT_EQ(checkpointed("run"), 5);
  images.write("train/" + name, good);
  run.resume = true;
  const TrainingResult result = pretrain(run);
  EXPECT_EQ(result.started_at, 5);
  EXPECT_EQ(result.steps, 16);
  // as if nothing had happened
  pretrain(options(images.path(), "whole"));
  EXPECT_EQ(folder.bytes("run/encoder.safetensors"), folder.bytes("whole/encoder.safetensors"));
}

TEST_F(BadDataRun, GoingOnWithOtherImagesIsSaid) {
  images.classes("train", 16);
  Options run = options(images.path(), "run");
  run.max_steps = 3;
  pretrain(run);
  run.max_steps = 6;
  run.resume = true;
  testing::internal::CaptureStderr();
  pretrain(run);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  fs::remove(images / "train/a/104.png");
  run.max_steps = 7;
  testing::internal::CaptureStderr();
  pretrain(run);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "warning: the run started with 32 images and continues with 31: its epochs differ\n");
}

TEST_F(BadDataRun, GoingOnWithAsManyOtherImagesIsSaid) {
  images.classes("train", 16);
  Options run = options(images.path(), "run");
  run.max_steps = 1;
  pretrain(run);
  run.resume = true;
  const auto warned = [&] {
    ++run.max_steps;
    testing::internal::CaptureStderr();
    pretrain(run);
    return testing::internal::GetCapturedStderr();
  };
  const auto warning = [](const std::string& what) { return "warning: the run continues with other " + what + "\n"; };
  const std::string files = warning("images than it started with: as many, but names or sizes of their files differ");
  // Elsewhere they are the same,
  fs::copy(images.path(), folder / "copy", fs::copy_options::recursive);
  run.data = folder / "copy";
  EXPECT_EQ(warned(), "");
  // but not under another name,
  fs::rename(folder / "copy/train/a/104.png", folder / "copy/train/a/204.png");
  EXPECT_EQ(warned(), files);
  EXPECT_EQ(warned(), "") << "the checkpoint has the new ones";
  // with other bytes,
  fs::copy(folder / "copy/train/a/105.png", folder / "copy/train/a/106.png", fs::copy_options::overwrite_existing);
  EXPECT_EQ(warned(), files);
  // or of another class.
  fs::rename(folder / "copy/train/a/107.png", folder / "copy/train/b/207.png");
  EXPECT_EQ(warned(), files);

  const std::string packed = folder / "images.packed";
  pack_images({.name = "image_folder", .directory = run.data}, packed, 0);
  run.data = packed;
  EXPECT_EQ(warned(), files) << "decoded";
  EXPECT_EQ(warned(), "");
}

TEST(DataFingerprint, OfImagesInMemoryIsThatOfPixelsAndLabels) {
  Dataset data;
  data.count = 2, data.channels = 1, data.height = 2, data.width = 3, data.classes = 2;
  data.pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  data.labels = {0, 1};
  const Fingerprint whole = fingerprint_of(data);
  EXPECT_EQ(fingerprint_of(data), whole);
  Dataset other = data;
  other.pixels[7] = 0;
  EXPECT_NE(fingerprint_of(other).images, whole.images);
  EXPECT_EQ(fingerprint_of(other).labels, whole.labels);
  other = data;
  std::swap(other.height, other.width);
  EXPECT_NE(fingerprint_of(other).images, whole.images);
  other = data;
  std::swap(other.labels[0], other.labels[1]);
  EXPECT_EQ(fingerprint_of(other).images, whole.images);
  EXPECT_NE(fingerprint_of(other).labels, whole.labels);
  other = data;
  other.classes = 3;
  EXPECT_NE(fingerprint_of(other).labels, whole.labels);
}

TEST_F(BadDataRun, TheRunFolderIsTriedBeforeTheDataAreOpened) {
  const std::string none = folder / "none";
  Options run = options(none, "file/run");
  write_atomically(folder / "file", "");
  expect_contains(message_of([&] { pretrain(run); }), {run.out + ": cannot create the folder: "});
  run.out = folder / "deep/run";
  expect_contains(message_of([&] { pretrain(run); }), {"there is no folder " + none});
  EXPECT_FALSE(fs::exists(folder / "deep")) << "nothing came of it";
}

TEST_F(BadDataRun, FilesThatMayBeLeftOutAreLookedThroughOnceForAll) {
  images.classes("train", 16);
  images.classes("val", 3);
  Options run = options(images.path(), "run");
  run.eval_every = 1;
  run.bad_images = BadImagePolicy::skip;
  RunData data(run);
  data.require_judged(0);
  images.write("val/a/200.png", images.folder().bytes("val/a/100.png"));
  EXPECT_EQ(data.judged("test", 0).count, 6) << "looked through again";
  EXPECT_EQ(RunData(run).judged("test", 0).count, 7);
  EXPECT_EQ(data.pictured(1).source, data.judged("probe", 0).source);
}

TEST_F(BadDataRun, FilesThatAreJudgedAreLookedThroughOnce) {
  images.classes("train", 16);
  images.classes("val", 3);
  images.cut_in_half("val/a/101.png");
  Options run = options(images.path(), "run");
  run.bad_images = BadImagePolicy::skip;
  run.eval_every = 1;
  testing::internal::CaptureStdout();
  pretrain(run);
  const std::string told = testing::internal::GetCapturedStdout();
  const std::size_t first = told.find("skipped " + images / "val/a/101.png");
  ASSERT_NE(first, std::string::npos) << told;
  EXPECT_EQ(told.find("skipped", first + 1), std::string::npos) << told;
  EXPECT_NE(told.find("epoch 2: kNN"), std::string::npos) << told;
}

TEST_F(BadDataRun, TheFirstImagesMayBeBadWhereOthersAreJudgedAndPictured) {
  images.classes("train", 16);
  images.classes("val", 3);
  images.write("train/a/100.png", "no image");
  images.write("val/a/100.png", "no image");
  // With the first these are eight at equal distances, which pictures would show if no others were there.
  for (int i = 4; i < 32; i += 4) images.cut_in_half(join("train/", i < 16 ? "a/" : "b/", 100 + i % 16, ".png"));
  Options run = options(images.path(), "run");
  run.objective = "mrcl";
  set_option(run, "mrcl.base", "simclr");
  set_option(run, "mrcl.decoder_width", "4");
  set_option(run, "mrcl.rec_variance", "off");
  run.bad_images = BadImagePolicy::skip;
  run.eval_every = 1;
  testing::internal::CaptureStdout();
  EXPECT_EQ(pretrain(run).steps, 14);
  const std::string told = testing::internal::GetCapturedStdout();
  EXPECT_NE(told.find("epoch 2: kNN"), std::string::npos) << told;
  EXPECT_TRUE(fs::exists(folder / "run/pictures/epoch_0002.png"));
}

TEST_F(BadDataRun, ClassesThatAreJudgedAndNeverLearntAreNamedOnce) {
  const auto write = [&](const std::string& name, const std::vector<int>& labels) {
    std::string pixels, values;
    for (std::size_t i = 0; i < labels.size() * 16 * 16 * 3; ++i) pixels += static_cast<char>(i * i % 251);
    for (const int label : labels) values += little_endian(static_cast<std::uint64_t>(label), 8);
    const auto count = static_cast<std::int64_t>(labels.size());
    write_atomically(folder / (name + ".npy"), npy_array("|u1", {count, 16, 16, 3}, pixels));
    write_atomically(folder / (name + "_labels.npy"), npy_array("<i8", {count}, values));
  };
  write("train", {0, 0, 0, 0, 0, 0, 1, 1, 2, 2});  // sorted by class
  write("test", {0, 1, 2, 2, 0, 1});
  Options run = options(folder.path(), "run");
  run.dataset = "npy";
  run.eval_every = 1;
  run.eval_limit = 4;
  testing::internal::CaptureStdout();
  pretrain(run);
  const std::string told = testing::internal::GetCapturedStdout();
  const std::string line =
      "notice: 2 of the 3 classes judged in test have no image in probe with --eval-limit 4, so "
      "their 3 images count as misses: 1, 2\n";
  ASSERT_NE(told.find(line), std::string::npos) << told;
  EXPECT_EQ(told.find(line), told.rfind(line)) << told;
  EXPECT_NE(folder.bytes("run/train.log").find("\nnotice: kNN with k = 200 uses k = 4, all the bank has\n"),
            std::string::npos);
  EXPECT_NE(told.find("epoch 2: kNN"), std::string::npos) << told;
}

TEST_F(BadDataRun, ADamagedPackedFileToo) {
  images.classes("train", 16);
  const std::string file = folder / "images.packed", name = read_in_step(5, 32);
  pack_images({.name = "image_folder", .directory = images.path()}, file, 0);
  std::string bytes = read_file(file);
  // the first bytes of the image's pixels, which are noise and stand in the file as they are
  const std::int64_t number = std::stoi(name.substr(2)) - 100 + (name[0] == 'b' ? 16 : 0);
  const TestPicture picture = test_picture(static_cast<int>(number));
  const std::size_t at = bytes.find(std::string(picture.pixels.begin(), picture.pixels.begin() + 60));
  ASSERT_NE(at, std::string::npos);
  bytes[at + 20] = static_cast<char>(~bytes[at + 20]);
  write_atomically(file, bytes);
  expect_contains(message_of([&] { pretrain(options(file, "run")); }), {file, name, "is damaged"});
  EXPECT_EQ(checkpointed("run"), 5);
  expect_contains(message_of([&] { verify_packed_images(file); }), {file, name});
}

TEST_F(BadDataRun, WithSkippingItGoesOnTheSameWithAnyWorkers) {
  images.classes("train", 16);
  for (const std::int64_t step : {1, 5}) images.cut_in_half("train/" + read_in_step(step, 32));
  for (const std::int64_t workers : {1, 4}) {
    Options run = options(images.path(), "run" + std::to_string(workers));
    run.bad_images = BadImagePolicy::skip;
    run.workers = workers;
    EXPECT_EQ(pretrain(run).steps, 16);
  }
  EXPECT_EQ(folder.bytes("run1/encoder.safetensors"), folder.bytes("run4/encoder.safetensors"));
}

}  // namespace
}  // namespace vergence
