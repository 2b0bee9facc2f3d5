// Files that are written beside the steps: what they hold, in which order they come, and how a failed one is told. And
// a run's: when they are written.
#include "ssl/training/saving.h"

#include <csignal>
#include <filesystem>
#include <gtest/gtest.h>
#include <limits>
#include <memory>
#include <sys/resource.h>
#include <thread>

#include "engine/io/files.h"
#include "models/encoder_file.h"
#include "ssl/training/checkpoint.h"
#include "tests/support/complaints.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/watched_syncs.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// As long as it lives, files of this process cannot grow beyond so many bytes: as on a disk that is full.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~SmallDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

class SavingTest : public ::testing::Test {
 protected:
  /// As a run adds it.
  void add_checkpoint(Saving& saving, std::int64_t step) {
    const RunPosition position{.step = step, .data = {}, .seconds = 1.5, .config = "lr = 1\n"};
    const auto snapshot = std::make_shared<const CheckpointSnapshot>(objective_->state(), position);
    saving.add([snapshot, path = path_] { snapshot->write(path); }, [this, step] { reached_ = step; });
  }
  /// What a step does to all parameters, or worse.
  void overwrite(double value) {
    for (const auto& [name, set] : objective_->state().parameters) cpu_backend().fill(set.flat().array(), value);
  }
  std::string written(bool beside, std::int64_t step) {
    Saving saving(beside);
    add_checkpoint(saving, step);
    saving.start();
    saving.wait();
    return read_file(path_);
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path() + "/run"))
      names.push_back(entry.path().filename());
    return names;
  }

  SavingTest() { fs::create_directory(folder_ / "run"); }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "run/checkpoint.safetensors";
  Options options_ = small_options("byol");
  std::unique_ptr<Objective> objective_ = small_objective(options_, DType::f32);
  std::int64_t reached_ = 0;
};

TEST_F(SavingTest, WritesTheSameBytesBesideTheStepsWhateverTheyOverwrite) {
  const std::string at_once = written(false, 3);
  fs::remove(path_);
  EXPECT_EQ(written(true, 3), at_once);
  EXPECT_NE(written(true, 4), at_once);
  Saving saving(true);
  add_checkpoint(saving, 3);
  overwrite(7);
  saving.start();
  saving.wait();
  EXPECT_EQ(read_file(path_), at_once);
  EXPECT_NE(written(true, 3), at_once);
}

TEST_F(SavingTest, AnEncoderIsThatOfItsSnapshotToo) {
  const std::string path = folder_ / "encoder.safetensors";
  const EncoderSnapshot snapshot(objective_->encoder(), objective_->statistics(), {{"step", "3"}});
  save_encoder(path, objective_->encoder(), objective_->statistics(), {{"step", "3"}});
  const std::string before = read_file(path);
  overwrite(7);
  snapshot.write(path);
  EXPECT_EQ(read_file(path), before);
}

TEST_F(SavingTest, WritesInOrderAndTellsOnTheCallersThread) {
  for (const bool beside : {false, true}) {
    const std::thread::id caller = std::this_thread::get_id();
    std::string order;
    Saving saving(beside);
    saving.add([&] {
      order += 'a';
      EXPECT_EQ(std::this_thread::get_id() != caller, beside);
    });
    saving.add([&] { order += 'b'; },
               [&] {
                 order += 'B';
                 EXPECT_EQ(std::this_thread::get_id(), caller);
               });
    saving.start();
    saving.add([&] { order += 'c'; });  // waits for both
    EXPECT_EQ(order, beside ? "abB" : "abBc");
    saving.start();
    saving.wait();
    EXPECT_EQ(order, "abBc");
    saving.start();  // nothing was added
    saving.wait();
  }
}

TEST_F(SavingTest, CollectingDoesNotWait) {
  std::promise<void> may_end;
  bool told = false;
  Saving saving(true);
  saving.add([&] { may_end.get_future().wait(); }, [&] { told = true; });
  saving.collect();  // not begun
  saving.start();
  saving.collect();
  EXPECT_FALSE(told);
  may_end.set_value();
  while (!told) saving.collect();
}

TEST_F(SavingTest, AFailedWriteIsToldByTheNextSaveAndKeepsTheOldFile) {
  const std::string before = written(true, 3);
  for (const bool collects : {false, true}) {
    Saving saving(true);
    bool after = false;
    const SmallDisk disk(5000);
    add_checkpoint(saving, 4);
    saving.add([&] { after = true; });
    saving.start();
    const std::string message = message_of<Error>([&] {
      while (collects) saving.collect();
      add_checkpoint(saving, 5);
    });
    EXPECT_EQ(message, path_ + ": cannot write: File too large");
    EXPECT_FALSE(after) << "nothing follows what has failed";
    saving.wait();  // it is told once
  }
  EXPECT_EQ(reached_, 3);
  EXPECT_EQ(read_file(path_), before);
  EXPECT_EQ(files(), std::vector<std::string>{"checkpoint.safetensors"}) << "nothing is left beside it";
}

TEST_F(SavingTest, WhatWasWrittenBeforeAFailureIsTold) {
  Saving saving(true);
  add_checkpoint(saving, 6);
  saving.add([this] { write_atomically(folder_ / "none/encoder.safetensors", "x"); });
  saving.start();
  EXPECT_EQ(message_of([&] { saving.wait(); }),
            folder_ / "none/encoder.safetensors: there is no folder " + folder_ / "none");
  EXPECT_EQ(reached_, 6);
}

TEST_F(SavingTest, ParametersThatAreNotFiniteKeepTheOldFile) {
  const std::string before = written(true, 3);
  overwrite(std::numeric_limits<double>::infinity());
  for (const bool beside : {false, true}) {
    const std::string message = message_of<Error>([&] { written(beside, 8); });
    expect_contains(message, {"step 8: ", " is not finite; a lower --lr may help. The last checkpoint is kept in "});
    EXPECT_NE(message.find(objective_->state().parameters[0].second.names()[0]), std::string::npos) << message;
  }
  EXPECT_EQ(reached_, 3);
  EXPECT_EQ(read_file(path_), before);
}

TEST_F(SavingTest, ItsEndWaits) {
  bool written = false;
  {
    Saving saving(true);
    saving.add([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      written = true;
    });
    saving.start();
  }
  EXPECT_TRUE(written);
}

// ---- a run's files

/// The files of a run of two epochs of two steps, as they reach the disk.
std::string order_of_files(const std::string& out, double checkpoint_seconds) {
  Options options = small_run(small_options("simclr"), out);
  options.limit = 32;
  options.epochs = 2;
  RunData data(options);
  RunFolder folder(out, false);
  RunNotes notes;
  World world;
  std::string order;
  const WatchedSyncs watch([&](const std::string& path) {
    const std::string name = fs::path(path).filename();
    for (const std::string file : {"metrics", "checkpoint", "encoder"})
      if (name.rfind(file, 0) == 0) order += " " + file;
  });
  train_run(options, data, folder, notes, world, checkpoint_seconds);
  return order;
}

TEST_F(SavingTest, ARunsFilesReachTheDiskInOrder) {
  // Metrics first: those of the checkpoint's steps are never missing. An encoder is newer than the checkpoint beside
  // it, but for the first.
  EXPECT_EQ(order_of_files(folder_ / "plain", 1e6), " metrics checkpoint encoder metrics encoder checkpoint");
  EXPECT_EQ(order_of_files(folder_ / "often", 0),
            " metrics checkpoint metrics encoder checkpoint metrics checkpoint metrics encoder checkpoint")
      << "a checkpoint after every step";
  EXPECT_EQ(seconds_between_checkpoints, 60) << "as the help of --checkpoint-every says";
}

TEST_F(SavingTest, AnEncodersDigestIsOfTheOptionsThatMakeIt) {
  Options options = small_run(small_options("simclr"));
  options.max_steps = 1;
  const auto digest = [&](const std::string& run) {
    options.out = folder_ / run;
    pretrain(options);
    return SafetensorsFile(folder_ / (run + "/encoder.safetensors")).metadata().at("config_xxh128");
  };
  const std::string first = digest("first");
  options.workers = 1;
  EXPECT_EQ(digest("elsewhere"), first);
  options.lr = 0.25;
  EXPECT_NE(digest("other"), first);
}

}  // namespace
}  // namespace vergence
