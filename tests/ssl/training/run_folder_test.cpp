// Run folders: refusal, locking, and cutting metrics.jsonl back to a checkpoint. Stop signals.
#include "ssl/training/run_folder.h"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "engine/io/files.h"
#include "kernels/error.h"
#include "ssl/training/signals.h"
#include "tests/support/complaints.h"
#include "tests/support/special_files.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

class RunFolders : public testing::Test {
 protected:
  std::string refusal(bool resume) {
    return error_or("opened", [&] { RunFolder folder(path_, resume); });
  }
  /// metrics.jsonl after cutting `text` back to `step`.
  std::string cut(const std::string& text, std::int64_t step) {
    create_folders(path_);
    std::ofstream(path_ + "/config.toml") << "";
    std::ofstream(path_ + "/metrics.jsonl") << text;
    RunFolder folder(path_, true);
    folder.open_metrics(step);
    return read_file(folder.metrics());
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "deep/run";
};

TEST_F(RunFolders, IsCreatedAndWritten) {
  RunFolder folder(path_ + "/", false);
  EXPECT_EQ(folder.path(), path_);
  EXPECT_FALSE(folder.resuming());
  folder.write_config("seed = 1\n");
  folder.open_metrics(0);
  folder.log({{"step", 1}, {"loss", 0.5}, {"parts", {{"a", std::numeric_limits<double>::quiet_NaN()}}}});
  folder.log({{"step", 2}, {"loss", -std::numeric_limits<double>::infinity()}});
  folder.sync_metrics();
  EXPECT_EQ(read_file(folder.config()), "seed = 1\n");
  EXPECT_EQ(read_file(folder.metrics()),
            "{\"step\":1,\"loss\":0.5,\"parts\":{\"a\":null}}\n{\"step\":2,\"loss\":null}\n");
}

TEST_F(RunFolders, WhatWasCreatedForNothingIsRemoved) {
  { RunFolder folder(path_, false); }
  EXPECT_FALSE(fs::exists(folder_ / "deep"));
  fs::create_directory(folder_ / "deep");
  { RunFolder folder(path_, false); }
  EXPECT_TRUE(fs::is_empty(folder_ / "deep"));
  for (const char* file : {"config.toml", "other"}) {
    {
      RunFolder folder(path_, false);
      std::ofstream(path_ + "/" + file) << "";
    }
    EXPECT_TRUE(fs::exists(path_ + "/" + file));
    fs::remove_all(path_);
  }
  fs::create_directory(path_);  // by somebody else
  { RunFolder folder(path_, false); }
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(RunFolders, WhatAKilledSaveLeftIsRemoved) {
  create_folders(path_);
  const std::vector<std::string> kept{"encoder.safetensors.tmp", "encoder.safetensors.tmp12a", "evaluation.json.tmp12",
                                      "my_encoder.safetensors.tmp12"};
  for (const std::string& name : kept) write_atomically(path_ + "/" + name, "kept");
  for (const char* name : {"checkpoint.safetensors.tmp123", "encoder.safetensors.tmp4", "config.toml.tmp56"})
    write_atomically(path_ + "/" + name, "half of it");
  RunFolder folder(path_, false);
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(path_)) left.push_back(entry.path().filename().string());
  std::sort(left.begin(), left.end());
  std::vector<std::string> expected = kept;
  expected.emplace_back(".lock");
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(left, expected);
}

TEST_F(RunFolders, ARunIsNotOverwritten) {
  create_folders(path_);
  EXPECT_EQ(refusal(false), "opened");
  EXPECT_EQ(refusal(false), "opened") << "an empty folder holds no run";
  for (const std::string file : {"config.toml", "metrics.jsonl", "checkpoint.safetensors", "encoder.safetensors"}) {
    std::ofstream(path_ + "/" + file) << "";
    EXPECT_EQ(refusal(false), path_ +
                                  ": already holds a run: continue it with --resume (with --out alone, that "
                                  "takes the run's options), or choose another --out");
    fs::remove(path_ + "/" + file);
  }
}

TEST_F(RunFolders, AStartWithoutAnyStepHoldsNoRun) {
  create_folders(path_);
  std::ofstream(path_ + "/config.toml") << "lr = 1\n";
  std::ofstream(path_ + "/metrics.jsonl") << "";
  for (const bool resume : {false, true}) EXPECT_EQ(refusal(resume), "opened");
  for (const std::string file : {"checkpoint.safetensors", "encoder.safetensors", "stage1"}) {
    std::ofstream(path_ + "/" + file) << "";
    expect_contains(refusal(false), {"already holds a run"});
    fs::remove(path_ + "/" + file);
  }
  std::ofstream(path_ + "/metrics.jsonl") << "{\"step\": 1}\n";
  expect_contains(refusal(false), {"already holds a run"});
}

TEST_F(RunFolders, WhatIsLeftOfARunThatLostItsCheckpointIsNotOverwritten) {
  EXPECT_EQ(refusal(true), "opened") << "nothing there";
  create_folders(path_);
  const auto touch = [&](const std::string& file) { std::ofstream(path_ + "/" + file) << ""; };
  const auto lost = [&](const std::string& file) {
    return path_ + ": has " + file + " but no checkpoint.safetensors, so --resume would start over and overwrite it: " +
           "restore the checkpoint, or choose another --out";
  };
  touch("metrics.jsonl");
  EXPECT_EQ(refusal(true), lost("metrics.jsonl"));
  EXPECT_EQ(refusal(true), lost("metrics.jsonl")) << "the lock has been given back";
  touch("config.toml");
  EXPECT_EQ(refusal(true), "opened") << "killed before its first checkpoint";
  touch("encoder.safetensors");
  EXPECT_EQ(refusal(true), lost("encoder.safetensors"));
  touch("checkpoint.safetensors");
  EXPECT_EQ(refusal(true), "opened");
}

TEST_F(RunFolders, ACheckpointThatCannotBeReadIsOne) {
  create_folders(path_);
  const std::string checkpoint = path_ + "/checkpoint.safetensors";
  fs::create_symlink("a_disk_that_is_not_mounted", checkpoint);
  EXPECT_TRUE(RunFolder(path_, true).resuming());
  expect_contains(refusal(false), {"already holds a run"});
  fs::remove(checkpoint);
  fs::create_symlink("checkpoint.safetensors", checkpoint);  // leads to itself
  for (const bool resume : {false, true}) expect_contains(refusal(resume), {checkpoint + ": cannot be written: "});
}

TEST_F(RunFolders, ResumesOnlyFromACheckpoint) {
  { EXPECT_FALSE(RunFolder(path_, true).resuming()); }
  create_folders(path_);
  std::ofstream(path_ + "/checkpoint.safetensors") << "x";
  EXPECT_TRUE(RunFolder(path_, true).resuming());
}

TEST_F(RunFolders, TwoProcessesCannotShareOne) {
  {
    RunFolder folder(path_, false);
    EXPECT_EQ(refusal(true), path_ + ": another process is using this run folder");
  }
  EXPECT_EQ(refusal(true), "opened");
}

TEST_F(RunFolders, AFolderThatCannotBeIsRefused) {
  create_folders(fs::path(path_).parent_path().string());
  std::ofstream(path_) << "a file";
  EXPECT_EQ(refusal(false).rfind(path_ + ": cannot create the folder: ", 0), 0u);
}

TEST_F(RunFolders, FilesThatCannotBeWrittenAreRefusedAtOnce) {
  create_folders(path_);
  for (const std::string file :
       {"config.toml", "metrics.jsonl", "checkpoint.safetensors", "encoder.safetensors",
        "encoder_as_trained.safetensors", "mask.safetensors", "tuning.json", "train.log", "run.json"}) {
    const std::string path = path_ + "/" + file;
    for (const bool resume : {false, true}) {
      fs::create_directory(path);
      EXPECT_EQ(refusal(resume), path + ": is a folder, expected a file");
      fs::remove(path);
      make_fifo(path);
      EXPECT_EQ(refusal(resume), path + ": is not a regular file; expected one, or a new file name");
      fs::remove(path);
      fs::create_symlink("none/file", path);
      EXPECT_EQ(refusal(resume), path + ": there is no folder " + path_ + "/none");
      fs::remove(path);
    }
    EXPECT_EQ(refusal(false), "opened");
  }
  std::ofstream(path_ + "/pictures") << "a file";
  EXPECT_EQ(refusal(false), path_ + "/pictures/epoch_0000.png: there is no folder " + path_ + "/pictures");
}

TEST_F(RunFolders, MayBeALinkAndHoldLinks) {
  fs::create_directories(folder_ / "disk");
  fs::create_directories(folder_ / "deep");
  fs::create_directory_symlink(folder_ / "disk/run", path_);
  {
    RunFolder folder(path_, false);
    fs::create_symlink("../metrics", folder.metrics());
    folder.write_config("seed = 1\n");
    folder.open_metrics(0);
    folder.log({{"step", 1}});
    folder.log({{"step", 2}});
  }
  RunFolder folder(path_, true);
  folder.open_metrics(1);
  EXPECT_EQ(read_file(folder_ / "disk/run/config.toml"), "seed = 1\n");
  EXPECT_EQ(read_file(folder_ / "disk/metrics"), "{\"step\":1}\n");
  EXPECT_EQ(kind_at(folder.metrics()), static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(kind_at(path_), static_cast<mode_t>(S_IFLNK));
}

TEST_F(RunFolders, MetricsAreCutBackToTheCheckpoint) {
  const std::string one = "{\"step\":1,\"loss\":null}\n", two = "{\"step\":2}\n", three = "{\"step\":3}\n";
  EXPECT_EQ(cut(one + two + three, 2), one + two);
  EXPECT_EQ(cut(one + two + three, 3), one + two + three);
  EXPECT_EQ(cut(one + two + three, 0), "");
  EXPECT_EQ(cut("", 5), "");
  EXPECT_EQ(cut(one + two + "{\"step\":3,\"lo", 9), one + two) << "a line cut off by a kill";
  EXPECT_EQ(cut(one + "{\"step\":2}", 9), one) << "unfinished even where it parses: the next line would join it";
}

TEST_F(RunFolders, LogAppendsAfterTheCut) {
  cut("{\"step\":1}\n{\"step\":2}\n", 1);
  RunFolder folder(path_, true);
  folder.open_metrics(1);
  folder.log({{"step", 2}, {"again", true}});
  EXPECT_EQ(read_file(folder.metrics()), "{\"step\":1}\n{\"step\":2,\"again\":true}\n");
}

TEST_F(RunFolders, DamagedMetricsAreNamedByLine) {
  for (const std::string bad : {"garbage", "[1]", "{\"loss\":1}", "{\"step\":\"1\"}"}) {
    EXPECT_EQ(message_of([&] { cut("{\"step\":1}\n" + bad + "\n{\"step\":3}\n", 3); }),
              path_ + "/metrics.jsonl:2: expected a JSON object with a whole number \"step\"")
        << bad;
  }
}

TEST_F(RunFolders, EmptyLinesOfMetricsAreDropped) {
  EXPECT_EQ(cut("\n{\"step\":1}\n\n \t\r\n{\"step\":2}\n\n", 9), "{\"step\":1}\n{\"step\":2}\n");
  EXPECT_EQ(message_of([&] { cut("\n\n[1]\n", 9); }),
            path_ + "/metrics.jsonl:3: expected a JSON object with a whole number \"step\"");
}

TEST_F(RunFolders, LoggingUnopenedMetricsIsAnError) {
  RunFolder folder(path_, false);
  EXPECT_THROW(folder.log({{"step", 1}}), Error);
}

TEST(Signals, TheFirstAsksTheSecondEnds) {
  EXPECT_EXIT(
      {
        catch_stop_signals();
        std::raise(SIGINT);
        std::_Exit(stop_requested() ? stop_exit_status() : 1);
      },
      testing::ExitedWithCode(130), "");
  EXPECT_EXIT(
      {
        catch_stop_signals();
        std::raise(SIGTERM);
        std::_Exit(stop_requested() ? stop_exit_status() : 1);
      },
      testing::ExitedWithCode(143), "");
  EXPECT_EXIT(
      {
        catch_stop_signals();
        std::raise(SIGINT);
        std::raise(SIGINT);
      },
      testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(std::_Exit(stop_requested() ? 1 : stop_exit_status()), testing::ExitedWithCode(0), "");
}

TEST(Signals, TheFirstLetsASystemCallGoOnTheSecondEndsIt) {
  EXPECT_EXIT(
      {
        catch_stop_signals();
        int ends[2];
        if (pipe(ends) != 0) std::_Exit(1);
        const pid_t waiting = getpid();
        if (fork() == 0) {
          usleep(100000);
          kill(waiting, SIGINT);
          usleep(100000);
          kill(waiting, SIGTERM);
          std::_Exit(0);
        }
        char byte;
        const ssize_t got = read(ends[0], &byte, 1);  // nothing ever comes
        std::_Exit(got < 0 ? 2 : 3);
      },
      testing::KilledBySignal(SIGTERM), "");
}

}  // namespace
}  // namespace vergence
