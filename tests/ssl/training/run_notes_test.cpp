// What a run writes of itself: train.log and run.json, however it ends.
#include "ssl/training/run_notes.h"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "engine/text/shell_words.h"
#include "engine/text/words.h"
#include "engine/version.h"
#include "tests/support/complaints.h"
#include "tests/support/special_files.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class RunNotesTest : public testing::Test {
 protected:
  json record(const std::string& run = "run") const { return parse_json(folder_.bytes(run + "/run.json")); }
  /// A tool's command for the run in `run`.
  std::vector<std::string> command(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{tool_path("pretrain"),
                                   "--out",
                                   folder_ / "run",
                                   "--device",
                                   "cpu",
                                   "--image-size",
                                   "16",
                                   "--width",
                                   "4",
                                   "--limit",
                                   "64",
                                   "--batch",
                                   "16",
                                   "--simclr.hidden",
                                   "32"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  /// Its exit status or signal, and what it has written.
  std::pair<std::string, std::string> run(const std::vector<std::string>& more = {}) const {
    ToolProcess tool(command(more));
    const std::string end = tool.end();
    return {end, tool.output()};
  }
  bool comes_to_train() const {
    const std::string metrics = folder_ / "run/metrics.jsonl";
    return comes_true([&] { return fs::exists(metrics) && fs::file_size(metrics) > 200; });
  }

  TemporaryFolder folder_;
};

/// Without the progress lines.
std::string but_progress(const std::string& text) {
  std::istringstream in(text);
  std::string rest;
  for (std::string line; std::getline(in, line);)
    if (line.find("  step ") == std::string::npos) rest += line + "\n";
  return rest;
}

void expect_date(const json& date) {
  ASSERT_TRUE(date.is_string()) << date;
  const std::string text = date;
  EXPECT_TRUE(std::regex_match(text, std::regex("20\\d\\d-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ"))) << text;
  std::tm parts{};
  ASSERT_NE(::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts), nullptr);
  EXPECT_LE(std::abs(std::difftime(::timegm(&parts), std::time(nullptr))), 600) << text << " is not now, in UTC";
}

TEST_F(RunNotesTest, EachStartHasAnEntryAndItsLines) {
  const auto [first, said] = run({"--epochs", "2", "--max-steps", "3"});
  ASSERT_EQ(first, "exit 0") << said;
  const auto [second, said_then] = run({"--epochs", "2", "--resume"});
  ASSERT_EQ(second, "exit 0") << said_then;
  EXPECT_EQ(folder_.bytes("run/train.log"), but_progress(said + said_then));

  const json record = this->record();
  EXPECT_EQ(record["version"], version());
  EXPECT_EQ(record["commit"], build_commit());
  ASSERT_EQ(record["runs"].size(), 2u);
  const json &one = record["runs"][0], &other = record["runs"][1];
  for (const json& entry : record["runs"]) {
    EXPECT_EQ(entry.size(), 11u) << entry;
    EXPECT_EQ(entry["directory"], fs::current_path().string());
    EXPECT_EQ(entry["exit"], 0);
    expect_date(entry["start"]);
    expect_date(entry["end"]);
    EXPECT_GE(entry["end"], entry["start"]);
    EXPECT_NE(said.find("device            " + entry["device"].get<std::string>() + "\n"), std::string::npos);
    EXPECT_NE(said.find(", " + counted(entry["threads"].get<int>(), "thread") + " ("), std::string::npos)
        << entry["threads"];
    char host[256]{};
    ::gethostname(host, sizeof host - 1);
    EXPECT_EQ(entry["host"], host);
    const std::string cpus = fs::exists("/proc/cpuinfo") ? read_file("/proc/cpuinfo") : "";
    const std::string processor = entry["processor"];
    EXPECT_TRUE(cpus.find("model name\t: " + processor + "\n") != std::string::npos ||
                (processor == "unknown" && cpus.find("model name") == std::string::npos))
        << processor;
  }
  EXPECT_EQ(one["from_step"], 0);
  EXPECT_EQ(one["to_step"], 3);
  EXPECT_EQ(other["from_step"], 3);
  EXPECT_EQ(other["to_step"], 8);
  std::vector<const char*> argv;
  const std::vector<std::string> words = command({"--epochs", "2", "--resume"});
  for (const std::string& word : words) argv.push_back(word.c_str());
  EXPECT_EQ(other["command"], shell_line(static_cast<int>(argv.size()), argv.data()));
}

TEST_F(RunNotesTest, ACommandOfAnyBytesCanBePasted) {
  const std::string odd = "it's d\xe9j\xe0 50% \n$HOME";
  const std::string pretrain = tool_path("pretrain");
  std::vector<std::string> words = command({"--epochs", "1"});
  words[2] = folder_ / odd;
  ToolProcess tool(words);
  ASSERT_EQ(tool.end(), "exit 0") << tool.output();
  EXPECT_NE(folder_.bytes(odd + "/train.log").find("d\\xe9j\\xe0 50% \\x0a$HOME"), std::string::npos);
  const std::string stored = record(odd)["runs"][0]["command"];
  EXPECT_EQ(stored.rfind("bytes:", 0), 0u) << stored;
  EXPECT_NE(stored.find("'\\''s d%E9j%E0 50%25 \n$HOME'"), std::string::npos) << stored;
  // A second start leaves the first one's command as it is.
  words.emplace_back("--resume");
  ToolProcess again(words);
  ASSERT_EQ(again.end(), "exit 0") << again.output();
  EXPECT_EQ(record(odd)["runs"][0]["command"], stored);
  EXPECT_EQ(record(odd)["runs"][1]["command"], stored + " --resume");
}

TEST_F(RunNotesTest, SignalsAndKillsAreTold) {
  const std::vector<std::string> endless{"--epochs", "100000", "--checkpoint-every", "1", "--resume"};
  for (const auto& [signal, status] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    ToolProcess tool(command(endless));
    ASSERT_TRUE(comes_to_train()) << tool.output();
    EXPECT_TRUE(record()["runs"].back()["end"].is_null());
    tool.send(signal);
    ASSERT_EQ(tool.end(), join("exit ", status));
    const json last = record()["runs"].back();
    EXPECT_EQ(last["exit"], status);
    EXPECT_GT(last["to_step"], last["from_step"]);
    EXPECT_NE(folder_.bytes("run/train.log")
                  .find(join("stopped by a signal at step ", last["to_step"].get<int>(), "; go on with --resume\n")),
              std::string::npos);
    fs::remove(folder_ / "run/metrics.jsonl");  // so that the next one's first lines are seen
  }
  {
    ToolProcess tool(command(endless));
    ASSERT_TRUE(comes_to_train()) << tool.output();
    tool.send(SIGKILL);
    ASSERT_EQ(tool.end(), "signal 9");
  }
  const json killed = record()["runs"].back();
  for (const char* key : {"end", "exit", "to_step"}) EXPECT_TRUE(killed[key].is_null()) << key;
  std::ofstream(folder_ / "run/train.log", std::ios::app) << "a line cut o";  // as a kill may leave it
  const auto [end, said] = run({"--epochs", "100000", "--max-steps", "1", "--resume"});
  EXPECT_EQ(end, "exit 0") << said;
  const json runs = record()["runs"];
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[2], killed) << "nothing is filled in";
  EXPECT_GE(runs[3]["from_step"], runs[1]["to_step"]);
  const std::string log = folder_.bytes("run/train.log");
  EXPECT_EQ(log.substr(log.find("a line cut o")), "a line cut o\n" + but_progress(said));
}

TEST_F(RunNotesTest, ErrorsAreTold) {
  const std::vector<std::string> wild{"--epochs", "50", "--lr", "1e36", "--warmup-epochs", "0"};
  const auto [end, said] = run(wild);
  ASSERT_EQ(end, "exit 1") << said;
  EXPECT_EQ(record()["runs"][0]["exit"], 1);
  EXPECT_EQ(record()["runs"][0]["to_step"].get<int>() % 4, 0) << "its last checkpoint";
  EXPECT_EQ(folder_.bytes("run/train.log"), but_progress(said));
  EXPECT_NE(said.find("\npretrain: step "), std::string::npos) << said;
}

TEST_F(RunNotesTest, AStartThatIsRefusedLeavesNoTrace) {
  ASSERT_EQ(run({"--epochs", "1"}).first, "exit 0");
  const std::string log = folder_.bytes("run/train.log"), record = folder_.bytes("run/run.json");
  EXPECT_EQ(run({"--epochs", "1"}).first, "exit 2") << "holds a run";
  EXPECT_EQ(run({"--epochs", "2", "--resume"}).first, "exit 2") << "other options";
  EXPECT_EQ(run({"--epochs", "1", "--resume", "--plan"}).first, "exit 0");
  EXPECT_EQ(folder_.bytes("run/train.log"), log);
  EXPECT_EQ(folder_.bytes("run/run.json"), record);
}

TEST_F(RunNotesTest, EntriesOfAnotherBuildKeepItsVersion) {
  const std::string path = folder_ / "run.json";
  const std::string older = R"({"version": "0.0.9", "commit": "abc", "host_name": "kept not", "runs": [
      {"command": "x", "exit": 0, "version": "0.0.8", "commit": "old"}, {"command": "bytes:%E9", "exit": null}]})";
  write_atomically(path, older);
  {
    RunRecord record(path, {.command = "y", .device = "cpu", .threads = 3, .from_step = 5, .extended = ""});
    EXPECT_EQ(record.notice(), "");
    record.end(7, 9);
  }
  const json now = parse_json(read_file(path));
  EXPECT_EQ(now["version"], version());
  EXPECT_EQ(now["commit"], build_commit());
  ASSERT_EQ(now["runs"].size(), 3u);
  EXPECT_EQ(now["runs"][0], json::parse(R"({"command": "x", "exit": 0, "version": "0.0.8", "commit": "old"})"));
  EXPECT_EQ(now["runs"][1],
            json::parse(R"({"command": "bytes:%E9", "exit": null, "version": "0.0.9", "commit": "abc"})"));
  EXPECT_FALSE(now["runs"][2].contains("version")) << "that of the whole";
  EXPECT_EQ(now["runs"][2]["exit"], 7);
  EXPECT_EQ(now["runs"][2]["threads"], 3);
  EXPECT_EQ(now["runs"][2]["from_step"], 5);
  EXPECT_EQ(now["runs"][2]["to_step"], 9);
}

TEST_F(RunNotesTest, WhatIsNoRecordIsKeptAside) {
  const std::string path = folder_ / "run.json";
  int number = 0;
  for (const std::string& foreign : std::vector<std::string>{
           "", "{", "[]", "\xff", "{\"runs\": []}", R"({"version": "1", "commit": "2", "runs": {}})",
           R"({"version": "1", "commit": "2", "runs": [3]})", R"({"version": "1", "commit": "2", "runs": [{"a": []}]})",
           R"({"version": 1, "commit": "2", "runs": []})", R"({"version": "bytes:%", "commit": "2", "runs": []})",
           std::string(1'000'000, '['), R"({"version": "1", "commit": "2", "runs": [)"}) {
    write_atomically(path, foreign);
    const std::string aside = path + ".old" + (++number > 1 ? std::to_string(number) : "");
    RunRecord record(path, {});
    expect_contains(record.notice(), {"notice: " + path + ": ", "; kept as " + aside + ", and a new one begins"});
    EXPECT_EQ(read_file(aside), foreign);
    EXPECT_EQ(parse_json(read_file(path))["runs"].size(), 1u);
  }
}

TEST_F(RunNotesTest, ARunGoesOnBesideADamagedRecord) {
  ASSERT_EQ(run({"--epochs", "2", "--max-steps", "3"}).first, "exit 0");
  write_atomically(folder_ / "run/run.json", "{\"version\": \"0.1");
  const auto [end, said] = run({"--epochs", "2", "--resume"});
  EXPECT_EQ(end, "exit 0") << said;
  const std::string notice = "notice: " + folder_ / "run/run.json: is no record of a run; kept as ";
  EXPECT_NE(said.find("\n" + notice), std::string::npos) << said;
  EXPECT_NE(folder_.bytes("run/train.log").find("\n" + notice), std::string::npos);
  ASSERT_EQ(record()["runs"].size(), 1u);
  EXPECT_EQ(record()["runs"][0]["from_step"], 3);
}

TEST_F(RunNotesTest, ALogThatCannotBeWrittenIsNamedOnce) {
  if (!make_device(folder_ / "full", full_device)) GTEST_SKIP() << no_devices;
  for (const std::string name : {"full", "none/log"}) {
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    {
      TrainLog log;
      log.say("before");
      log.open(folder_ / name);
      log.say("behind\nand more\n");
      log.warn("warned");
    }
    EXPECT_EQ(testing::internal::GetCapturedStdout(), "before\nbehind\nand more\n");
    const std::string why = name == "full" ? "No space left on device" : "No such file or directory";
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "warning: " + folder_ / name + ": cannot write: " + why +
                  "; training continues, but this log is no longer written\nwarned\n");
  }
}

TEST_F(RunNotesTest, ALogHasWhatWasShownAndThatOfItsParts) {
  std::FILE* screen = std::tmpfile();
  {
    TrainLog outer(nullptr, screen, screen);
    outer.say("early \x1b[31m");
    outer.open(folder_ / "outer");
    TrainLog inner(&outer);
    inner.say("one");
    inner.open(folder_ / "inner");
    inner.warn("two");
    inner.keep("of the inner one");
    outer.say("three");
  }
  EXPECT_EQ(folder_.bytes("outer"), "early \\x1b[31m\none\ntwo\nthree\n");
  EXPECT_EQ(folder_.bytes("inner"), "one\ntwo\nof the inner one\n");
  std::rewind(screen);
  std::string text(100, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), screen));
  EXPECT_EQ(text, folder_.bytes("outer"));
  std::fclose(screen);
}

}  // namespace
}  // namespace vergence
