// What signals do to the tools: they end at once where there is nothing to save, and a tool that is given a FIFO waits
// for its writer only as long as it is let.
#include <gtest/gtest.h>

#include "datasets/readers/images/packed.h"
#include "engine/io/files.h"
#include "models/encoders/resnet.h"
#include "ssl/options/table.h"
#include "ssl/training/stages.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/odd_files.h"
#include "tests/support/small_runs.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// Whether a process sleeps in a system call: its main thread's state is S in many looks one after another.
bool is_asleep(pid_t process) {
  for (int look = 0; look < 20; ++look) {
    const std::string status = read_file(join("/proc/", process, "/stat"));
    if (status.substr(status.rfind(')') + 2, 1) != "S") return false;
    ::usleep(2000);
  }
  return true;
}

class ToolSignals : public ::testing::Test {
 protected:
  /// Sends both signals in turn to the tool while it waits for the FIFO.
  void expect_ends_at_once(const std::vector<std::string>& command) {
    for (const int signal : {SIGINT, SIGTERM}) {
      ToolProcess tool(command);
      ASSERT_TRUE(comes_true([&] { return is_asleep(tool.id()); })) << tool.output();
      tool.send(signal);
      EXPECT_EQ(tool.end(), join("signal ", signal)) << command[0] << tool.output();
    }
  }

  ImageTree images;
  TemporaryFolder folder;
  const std::string fifo = folder / "fifo";
};

TEST_F(ToolSignals, EndARunThatStillOpensItsData) {
  images.classes("train", 8);
  make_odd(fifo, "FIFO");
  const std::string pretrain = tool_path("pretrain"), run = folder / "run";
  const std::vector<std::string> data{"--dataset", "image_folder", "--data", images.path(), "--classes", fifo};
  std::vector<std::string> command{pretrain, "--out", run, "--device", "cpu"};
  command.insert(command.end(), data.begin(), data.end());
  expect_ends_at_once(command);
  EXPECT_FALSE(fs::exists(run + "/config.toml"));
  expect_ends_at_once({pretrain, "--out", run, "--config", fifo});
  expect_ends_at_once({tool_path("pack"), images.path(), folder / "packed", "--classes", fifo});

  Options options = small_run({}, run);
  options.components.get<ResNetSettings>().width = 4;
  options.epochs = 1;
  set_option(options, "simclr.hidden", "32");
  vergence::pretrain(options);
  for (const char* tool : {"evaluate", "linear_probe"}) {
    command = {tool_path(tool), "--run", run, "--device", "cpu"};
    command.insert(command.end(), data.begin(), data.end());
    expect_ends_at_once(command);
  }
}

TEST_F(ToolSignals, ARunThatTrainsSavesFirst) {
  const std::string run = folder / "run";
  ToolProcess tool({tool_path("pretrain"), "--out", run, "--image-size", "16", "--width", "4", "--limit", "1000",
                    "--batch", "16", "--epochs", "1000", "--simclr.hidden", "32", "--device", "cpu"});
  ASSERT_TRUE(comes_true([&] {
    return fs::exists(run + "/metrics.jsonl") && fs::file_size(run + "/metrics.jsonl") > 0;
  })) << tool.output();
  tool.send(SIGINT);
  EXPECT_EQ(tool.end(), "exit 130") << tool.output();
  EXPECT_NE(tool.output().find("stopped by a signal at step "), std::string::npos) << tool.output();
  for (const char* file : {"/checkpoint.safetensors", "/encoder.safetensors"}) EXPECT_TRUE(fs::exists(run + file));
}

TEST_F(ToolSignals, PackGoesOnWhereItWasStopped) {
  constexpr int portion = 512;  // images between two notes of what is done
  images.classes("train", portion / 2 + 20);
  const std::string packed = folder / "packed";
  const std::vector<std::string> command{tool_path("pack"), images.path(), packed, "--short-side", "0"};
  {
    // A full pipe: the tool waits at its first line, when the first portion has been saved.
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    const std::string filler(4096, ' ');
    while (::write(ends[1], filler.data(), filler.size()) > 0) {
    }
    ASSERT_EQ(::fcntl(ends[1], F_SETFL, 0), 0);  // from here on a writer waits
    ToolProcess tool(command, ends[1]);
    const auto saved = [&] {
      if (!fs::exists(packed + ".partial") || !is_asleep(tool.id())) return false;
      const SafetensorsFile partial(packed + ".partial");
      const TensorEntry& checksums = partial.at("checksums", "I64", {portion + 40});
      const auto* first = static_cast<const std::int64_t*>(checksums.data);
      return portion + 40 - std::count(first, first + portion + 40, 0) == portion;
    };
    ASSERT_TRUE(comes_true(saved)) << tool.output();
    tool.send(SIGTERM);
    EXPECT_EQ(tool.end(), join("signal ", SIGTERM)) << tool.output();
    ::close(ends[0]), ::close(ends[1]);
  }
  EXPECT_FALSE(fs::exists(packed));
  EXPECT_EQ(message_of([&] { PackedImages{packed + ".partial"}; }),
            packed + ".partial: packing has not finished; the same pack command goes on with it");
  ToolProcess again(command);
  EXPECT_EQ(again.end(), "exit 0") << again.output();
  EXPECT_NE(again.output().find(", 512 of them from before"), std::string::npos) << again.output();
  EXPECT_EQ(PackedImages(packed).count(), portion + 40);
}

TEST_F(ToolSignals, OptionsMayComeFromAProcess) {
  const std::string pretrain = shell_word(tool_path("pretrain"));
  ToolProcess tool({"/bin/bash", "-c",
                    pretrain + " --plan --device cpu --width 4 --limit 100 --batch 16 --config <(echo 'epochs = 3')"});
  EXPECT_EQ(tool.end(), "exit 0") << tool.output();
  EXPECT_NE(tool.output().find("(3 epochs of "), std::string::npos) << tool.output();
}

TEST_F(ToolSignals, AnEvaluationMeetsNoMaskThatIsNone) {
  const std::string run = folder / "run", mask = run + "/mask.safetensors";
  Options options = small_run({}, run);
  options.components.get<ResNetSettings>().width = 4;
  options.epochs = 1;
  set_option(options, "simclr.hidden", "32");
  vergence::pretrain(options);
  for (const char* kind : {"FIFO", "circle", "folder"}) {
    make_odd(mask, kind);
    ToolProcess tool({tool_path("evaluate"), "--run", run, "--device", "cpu", "--metrics", "knn", "--limit", "20"});
    EXPECT_EQ(tool.end(), "exit 2") << kind << tool.output();
    EXPECT_NE(tool.output().find("evaluate: " + mask + ": cannot "), std::string::npos) << tool.output();
  }
}

}  // namespace
}  // namespace vergence
