// Where the tools write, by the real programs: outputs that are no files, and standard descriptors that are closed.
#include <cstdlib>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "datasets/readers/images/pack.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/special_files.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// The run that is judged here: made once, by `pretrain`.
const TemporaryFolder& judged_run() {
  static const TemporaryFolder folder;
  return folder;
}

class ToolOutputs : public testing::Test {
 protected:
  static constexpr const char* training =
      "\"$B/pretrain\" --objective simclr --dataset confounded_shapes --image-size 16 --limit 64 --batch 16 --width 4 "
      "--simclr.hidden 32 --device cpu ";

  void SetUp() override {
    ASSERT_NE(std::getenv("VERGENCE_BUILD"), nullptr) << "the folder of the tools";
    if (fs::exists(judged_run() / "run")) return;
    ASSERT_EQ(run(training + ("--epochs 1 --out " + shell_word(judged_run() / "run"))), 0) << errors();
  }

  /// Exit status of a bash script in the test's folder, in which $B is the folder of the tools and `evaluate` and
  /// `probe` judge the run quickly. Its output: see below.
  int run(const std::string& script) {
    write_atomically(folder_ / "script", std::string("B=$VERGENCE_BUILD\n") + "cd " + shell_word(folder_.path()) +
                                             "\n" + "judge() { \"$B/$1\" --run " + shell_word(judged_run() / "run") +
                                             " --limit 64 --device cpu \"${@:2}\"; }\n"
                                             "evaluate() { judge evaluate --metrics collapse \"$@\"; }\n"
                                             "probe() { judge linear_probe --protocol adam --epochs 2 \"$@\"; }\n" +
                                             script + "\n");
    const std::string command =
        "cd " + shell_word(folder_.path()) + "&& timeout 300 bash script </dev/null >printed 2>errors";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string printed() const { return folder_.bytes("printed"); }
  /// A file without the times in it, which are the last that a result says.
  std::string timeless(const std::string& name) const {
    const std::string bytes = folder_.bytes(name);
    return bytes.substr(0, bytes.rfind("\"seconds_of\":"));
  }
  std::string errors() const { return folder_.bytes("errors"); }
  /// Status 2 with this one line, and no work done.
  void expect_refused(const std::string& script, const std::string& line) {
    EXPECT_EQ(run(script), 2) << script;
    EXPECT_EQ(errors(), line + "\n");
    EXPECT_EQ(printed(), "");
  }

  TemporaryFolder folder_;
};

TEST_F(ToolOutputs, OptionsAreReadAsPretrainReadsThem) {
  ASSERT_EQ(run("probe --seed 010 --out seed.json"), 0) << errors();
  EXPECT_EQ(parse_json(folder_.bytes("seed.json"))["probe"]["seed"], 10) << "not octal";
  expect_refused("probe --seed 0x10", "linear_probe: --seed: expected a whole number, got '0x10' (see --help)");
  expect_refused("evaluate --shots 5,0x10", "evaluate: --shots: expected a whole number, got '0x10' (see --help)");
  expect_refused("probe --out= --sweep",
                 "linear_probe: --out: expected a value, got the option --sweep (a value that looks like this: "
                 "--out=--sweep)");
  expect_refused("probe --out --sweep",
                 "linear_probe: --out: expected a value, got the option --sweep (a value that looks like this: "
                 "--out=--sweep)");
}

TEST_F(ToolOutputs, ADeviceIsWrittenTo) {
  if (!make_device(folder_ / "null", null_device) || !make_device(folder_ / "full", full_device))
    GTEST_SKIP() << no_devices;
  for (const char* tool : {"evaluate", "probe"}) {
    EXPECT_EQ(run(std::string(tool) + " --out null"), 0) << errors();
    EXPECT_EQ(kind_at(folder_ / "null"), static_cast<mode_t>(S_IFCHR)) << tool;
    EXPECT_EQ(run(std::string(tool) + " --out full"), 1);
    EXPECT_EQ(kind_at(folder_ / "full"), static_cast<mode_t>(S_IFCHR)) << tool;
    expect_contains(errors().substr(0, errors().size() - 1), {": full: cannot write: No space left on device"});
  }
}

TEST_F(ToolOutputs, AFifosReaderGetsTheResult) {
  // The shell's own end is opened first, which waits for the reader.
  for (const char* tool : {"evaluate", "probe"}) {
    EXPECT_EQ(run(std::string("rm -f fifo; mkfifo fifo; cat fifo >got & exec 4>fifo; ") + tool +
                  " --out fifo && exec 4>&- && wait $!"),
              0)
        << errors();
    EXPECT_EQ(parse_json(folder_.bytes("got"))["limit"], 64) << tool;
    EXPECT_EQ(kind_at(folder_ / "fifo"), static_cast<mode_t>(S_IFIFO)) << tool;
  }
}

TEST_F(ToolOutputs, WhatCannotBeWrittenIsRefusedBeforeTheWork) {
  fs::create_directory(folder_ / "folder");
  make_fifo(folder_ / "fifo");
  fs::create_symlink("loop", folder_ / "loop");
  const std::pair<std::string, std::string> cases[] = {
      {"folder", "folder: is a folder, expected a file"},
      {"fifo", "fifo: is a FIFO that nobody reads, expected one whose reader has started"},
      {"loop", "loop: cannot be written: Too many levels of symbolic links"},
      {"none/file", "none/file: there is no folder none"}};
  for (const auto& [out, complaint] : cases) {
    expect_refused("evaluate --out " + out, "evaluate: " + complaint);
    expect_refused("probe --out " + out, "linear_probe: " + complaint);
  }
  // what is read is not written
  write_atomically(folder_ / "mask.safetensors", "weights");
  write_atomically(folder_ / "run.json", "{\"runs\": []}");
  write_atomically(folder_ / "results.jsonl", "{\"encoder_file\": \"a\"}\n");
  write_atomically(folder_ / "rows.json", "{\"format\": \"vergence embedding 1\", \"encoder_file\": \"a\"}");
  fs::create_symlink("mask.safetensors", folder_ / "link");
  for (const std::string out : {"mask.safetensors", "link", "run.json", "results.jsonl", "rows.json"})
    expect_refused("evaluate --out " + out,
                   "evaluate: " + out + ": exists and is not a result, expected the name of another file");
  EXPECT_EQ(folder_.bytes("mask.safetensors"), "weights");
  // the default output likewise
  fs::create_directory(judged_run() / "run/evaluation_untrained.json");
  expect_refused("evaluate --untrained",
                 "evaluate: " + judged_run() / "run/evaluation_untrained.json" + ": is a folder, expected a file");
  fs::remove(judged_run() / "run/evaluation_untrained.json");
  const std::string notes = judged_run() / "run/probe_untrained.json";
  write_atomically(notes, "notes");
  expect_refused("probe --untrained", "linear_probe: " + notes +
                                          ": exists and is not a result, expected the name of "
                                          "another file with --out");
  EXPECT_EQ(judged_run().bytes("run/probe_untrained.json"), "notes");
  for (const char* ours : {"", "{\"encoder_file\": \"encoder.safetensors\", \"top1\": 50}"}) {
    write_atomically(notes, ours);
    EXPECT_EQ(run("probe --untrained"), 0) << errors();
    EXPECT_EQ(parse_json(judged_run().bytes("run/probe_untrained.json"))["limit"], 64);
  }
  fs::remove(notes);
}

TEST_F(ToolOutputs, ALinkStaysAndItsTargetIsMade) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_symlink("elsewhere/result.json", folder_ / "link.json");
  ASSERT_EQ(run("evaluate --out link.json"), 0) << errors();
  EXPECT_EQ(kind_at(folder_ / "link.json"), static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(kind_at(folder_ / "elsewhere/result.json"), static_cast<mode_t>(S_IFREG));
  EXPECT_EQ(parse_json(folder_.bytes("elsewhere/result.json"))["limit"], 64);
}

TEST_F(ToolOutputs, StandardOutputOfAnyKind) {
  ASSERT_EQ(run("evaluate --out result.json"), 0) << errors();
  const std::string result = timeless("result.json"), whole = printed() + result;
  ASSERT_LT(result.size(), folder_.bytes("result.json").size()) << "times were cut out";
  // as /dev/stdout and /dev/stderr are, which no test should put at risk
  fs::create_symlink("/proc/self/fd/1", folder_ / "stdout");
  fs::create_symlink("/proc/self/fd/2", folder_ / "stderr");
  ASSERT_EQ(run("evaluate --out stdout"), 0) << errors();
  EXPECT_EQ(timeless("printed"), whole) << "into a file, that of the shell";
  ASSERT_EQ(run("evaluate --out /dev/fd/1 | cat"), 0) << errors();
  EXPECT_EQ(timeless("printed"), whole) << "into a pipe";
  ASSERT_EQ(run("echo before >log; evaluate --out /proc/self/fd/1 >>log"), 0) << errors();
  EXPECT_EQ(timeless("log"), "before\n" + whole) << "behind what a file holds";
  ASSERT_EQ(run("evaluate --out stderr"), 0) << errors();
  EXPECT_EQ(timeless("errors"), result);
  ASSERT_EQ(run("evaluate --out /dev/fd/3 3>third"), 0) << errors();
  EXPECT_EQ(timeless("third"), result);
  ASSERT_EQ(run("evaluate --out >(cat >fourth); wait $!"), 0) << errors();
  EXPECT_EQ(timeless("fourth"), result);
}

TEST_F(ToolOutputs, AReaderThatGoesAwayIsSaid) {
  EXPECT_EQ(run("exec 3> >(true); wait $!; evaluate --out /dev/fd/3"), 1);
  EXPECT_EQ(errors(), "evaluate: /dev/fd/3: cannot write: Broken pipe\n");
  const std::string lost = "standard output: not all of it could be written\n";
  EXPECT_EQ(run("exec > >(true); wait $!; evaluate --out result.json"), 1);
  EXPECT_EQ(errors(), "evaluate: " + lost);
  EXPECT_EQ(parse_json(folder_.bytes("result.json"))["limit"], 64);
  EXPECT_EQ(run(std::string("exec > >(true); wait $!; ") + training + "--epochs 1 --out run"), 1);
  EXPECT_EQ(errors(), "pretrain: " + lost);
  EXPECT_EQ(folder_.bytes("run/encoder.safetensors").size(),
            read_file(judged_run() / "run/encoder.safetensors").size());
  if (!make_device(folder_ / "full", full_device)) GTEST_SKIP() << no_devices;
  EXPECT_EQ(run("\"$B/pack\" --help >full"), 1);
  EXPECT_EQ(errors(), "pack: " + lost);
}

TEST_F(ToolOutputs, ClosedDescriptorsDoNotBecomeThoseOfFiles) {
  for (const char* closed : {"<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"}) {
    fs::remove_all(folder_ / "run");
    ASSERT_EQ(run(std::string(training) + "--epochs 1 --out run " + closed), 0) << closed << errors();
    ASSERT_EQ(run(std::string(training) + "--epochs 1 --out run --resume " + closed), 0) << closed << errors();
    EXPECT_EQ(folder_.bytes("run/.lock"), "") << closed;
    std::istringstream lines(folder_.bytes("run/metrics.jsonl"));
    std::int64_t step = 0;
    for (std::string line; std::getline(lines, line);) EXPECT_EQ(parse_json(line)["step"], ++step) << closed;
    EXPECT_EQ(step, 4) << closed;
    EXPECT_EQ(folder_.bytes("run/encoder.safetensors"), read_file(judged_run() / "run/encoder.safetensors")) << closed;
    ASSERT_EQ(run(std::string("evaluate --out result.json ") + closed), 0) << closed << errors();
    EXPECT_EQ(parse_json(folder_.bytes("result.json"))["limit"], 64) << closed;
  }
  EXPECT_EQ(run("for tool in pretrain evaluate linear_probe finetune pack bench compare report embed export; do "
                "\"$B/$tool\" --help >&- || exit; done"),
            0);
  EXPECT_EQ(errors(), "");
}

class PackOutputs : public ToolOutputs {
 protected:
  void SetUp() override {
    ToolOutputs::SetUp();
    images_.classes("train", 5);
    ASSERT_EQ(run(pack("good")), 0) << errors();
  }
  std::string pack(const std::string& file) const { return "\"$B/pack\" " + shell_word(images_.path()) + " " + file; }

  ImageTree images_;
};

TEST_F(PackOutputs, ClosedDescriptorsDoNotBecomeThatOfTheFile) {
  for (const char* closed : {"<&-", ">&-", "2>&-", "<&- >&- 2>&-"}) {
    fs::remove(folder_ / "file");
    ASSERT_EQ(run(pack("file") + " --verify " + closed), 0) << closed << errors();
    EXPECT_EQ(folder_.bytes("file"), folder_.bytes("good")) << closed;
  }
}

TEST_F(PackOutputs, AFileAloneCanBePacked) {
  make_fifo(folder_ / "fifo");
  fs::create_directory(folder_ / "folder");
  const std::string regular = ": is not a regular file; expected one, or a new file name";
  expect_refused(pack("/dev/fd/1"), "pack: /dev/fd/1" + regular);
  expect_refused("exec 4<>fifo; " + pack("fifo"), "pack: fifo" + regular);
  expect_refused(pack("folder"), "pack: folder: is a folder, expected a file");
  expect_refused(pack("none/file"), "pack: none/file: there is no folder none");
  expect_refused(pack("''"), "pack: expected the name of a file, got ''");
  expect_refused(pack("good"), "pack: good is there already; remove it first");
  make_fifo(folder_ / "new.partial");
  expect_refused("exec 4<>new.partial; " + pack("new"), "pack: new.partial" + regular);
  if (!make_device(folder_ / "null", null_device)) GTEST_SKIP() << no_devices;
  expect_refused(pack("null"), "pack: null" + regular);
  EXPECT_EQ(kind_at(folder_ / "null"), static_cast<mode_t>(S_IFCHR));
}

TEST_F(PackOutputs, ALinkStaysAndItsTargetIsMade) {
  fs::create_directory(folder_ / "elsewhere");
  fs::create_symlink("elsewhere/file", folder_ / "link");
  ASSERT_EQ(run(pack("link") + " --verify"), 0) << errors();
  EXPECT_EQ(kind_at(folder_ / "link"), static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(folder_.bytes("elsewhere/file"), folder_.bytes("good"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "elsewhere"), fs::directory_iterator()), 1);
  expect_refused(pack("link"), "pack: link is there already; remove it first");
}

TEST_F(PackOutputs, AFileThatGrowsTooLargeIsSaid) {
  EXPECT_EQ(run("ulimit -f 8; " + pack("file")), 1);
  EXPECT_EQ(errors(), "pack: file.partial: cannot write: File too large\n");
}

}  // namespace
}  // namespace vergence
