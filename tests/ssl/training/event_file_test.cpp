// Event files for TensorBoard: records, names and order of files, what a run writes and when it gives up.
// tensorboard_test.py reads them with TensorBoard itself.
#include "ssl/training/tensorboard/event_file.h"

#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/io/files.h"
#include "ssl/training/run_folder.h"
#include "ssl/training/tensorboard/run_events.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

/// The CRC-32C that `masked_crc32c` masks.
std::uint32_t crc32c(std::string_view bytes) {
  const std::uint32_t turned = masked_crc32c(bytes) - 0xa282ead8u;
  return turned >> 17 | turned << 15;
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// The events in a file; checks every record.
std::vector<std::string> events_in(const std::string& file) {
  std::vector<std::string> events;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t length = 0;
    for (std::size_t byte = 0; byte < 8; ++byte)
      length |= std::uint64_t{static_cast<unsigned char>(file.at(at + byte))} << 8 * byte;
    events.push_back(file.substr(at + 12, length));
    EXPECT_EQ(file.substr(at, length + 16), event_record(events.back()));
    at += length + 16;
  }
  return events;
}

TEST(EventFile, ChecksumsAreCrc32c) {
  // The examples of RFC 3720, B.4, and the usual check value.
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(masked_crc32c(""), 0xa282ead8u);
}

TEST(EventFile, ARecordHasLengthEventAndTheirChecksums) {
  const std::string record = event_record("event");
  ASSERT_EQ(record.size(), 8 + 4 + 5 + 4u);
  EXPECT_EQ(record.substr(0, 8), "\x05\0\0\0\0\0\0\0"s);
  EXPECT_EQ(record.substr(12, 5), "event");
  const auto number_at = [&](std::size_t at) {
    std::uint32_t number = 0;
    for (std::size_t byte = 0; byte < 4; ++byte)
      number |= std::uint32_t{static_cast<unsigned char>(record[at + byte])} << 8 * byte;
    return number;
  };
  EXPECT_EQ(number_at(8), masked_crc32c(record.substr(0, 8)));
  EXPECT_EQ(number_at(17), masked_crc32c("event"));
  EXPECT_EQ(event_record(std::string(300, 'x')).substr(0, 8), "\x2c\x01\0\0\0\0\0\0"s);
}

TEST(EventFile, LaterFilesHaveLaterNames) {
  const TemporaryFolder folder;
  std::vector<std::string> order;
  for (const char* event : {"a", "b", "c"}) {  // all in one second
    EventFile(folder.path()).append(event);
    for (const std::string& name : event_files(folder.path()))
      if (std::find(order.begin(), order.end(), name) == order.end()) order.push_back(name);
  }
  ASSERT_EQ(order.size(), 3u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(events_in(folder.bytes(order[2])), std::vector<std::string>{"c"});
  EXPECT_THROW(EventFile(folder / "not there"), Error);
}

TEST(Summary, HasTheBytesOfTheProtocolBuffers) {
  Summary summary;
  summary.scalar("a/b", 1);
  EXPECT_EQ(summary.bytes(),
            "\x0a\x0a\x0a\x03"
            "a/b\x15\0\0\x80\x3f"s);
  EXPECT_EQ(summary_event(0, 300, summary), "\x09\0\0\0\0\0\0\0\0\x10\xac\x02\x2a\x0c"s + summary.bytes());
  EXPECT_EQ(version_event(0),
            "\x09\0\0\0\0\0\0\0\0\x1a\x0d"
            "brain.Event:2"s);
  EXPECT_EQ(start_event(0, 7), "\x09\0\0\0\0\0\0\0\0\x10\x07\x3a\x02\x08\x01"s);
}

TEST(Summary, AHistogramIsOfFiniteValues) {
  Summary none, two;
  none.histogram("h", {std::numeric_limits<float>::quiet_NaN()});
  EXPECT_TRUE(none.empty());
  two.histogram("h", {3, std::numeric_limits<float>::infinity(), 1});
  // min 1, max 3, num 2, sum 4, sum of squares 10, limits 2 and 3, counts 1 and 1.
  const std::string one = "\0\0\0\0\0\0\xf0\x3f"s, twice = "\0\0\0\0\0\0\0\x40"s, three = "\0\0\0\0\0\0\x08\x40"s;
  EXPECT_NE(two.bytes().find("\x09"s + one + "\x11" + three + "\x19" + twice + "\x21\0\0\0\0\0\0\x10\x40"s +
                             "\x29\0\0\0\0\0\0\x24\x40"s + "\x32\x10" + twice + three + "\x3a\x10" + one + one),
            std::string::npos);
}

class RunEventsTest : public testing::Test {
 protected:
  RunEvents events(std::int64_t steps) {
    return {options_, folder_.path(), steps, [this](const std::string& line) { warnings_.push_back(line); }};
  }
  std::vector<std::string> events_of(std::size_t file) {
    return events_in(folder_.bytes(event_files(folder_.path()).at(file)));
  }

  TemporaryFolder folder_;
  Options options_;
  std::vector<std::string> warnings_;
};

/// An event without its time.
std::string timeless(const std::string& event) { return event.substr(9); }

TEST_F(RunEventsTest, AResumedRunVoidsLaterSteps) {
  {
    RunEvents first = events(0);
    EXPECT_TRUE(event_files(folder_.path()).empty()) << "made with the first event alone";
    first.line({{"step", 1}, {"loss", 2.0}, {"lr", 0.5}, {"knn", 3.0}, {"clock", {{"seconds", 4.0}}}});
  }
  events(20).line({{"step", 21}, {"loss", nullptr}, {"lr", 0.5}});
  ASSERT_EQ(event_files(folder_.path()).size(), 2u);
  const std::vector<std::string> before = events_of(0), after = events_of(1);
  ASSERT_EQ(before.size(), 4u) << "version, start, options, the line";
  EXPECT_EQ(timeless(before[0]), timeless(version_event(0)));
  EXPECT_EQ(timeless(before[1]), timeless(start_event(0, 0)));
  EXPECT_NE(before[2].find("_hparams_/session_start_info"), std::string::npos);
  Summary line, line_after;
  line.scalar("train/loss", 2), line.scalar("train/lr", 0.5), line.scalar("figures/knn", 3);
  line.scalar("clock/seconds", 4);
  EXPECT_EQ(timeless(before[3]), timeless(summary_event(0, 1, line)));
  ASSERT_EQ(after.size(), 4u);
  EXPECT_EQ(timeless(after[1]), timeless(start_event(0, 21)));
  line_after.scalar("train/lr", 0.5);
  EXPECT_EQ(timeless(after[3]), timeless(summary_event(0, 21, line_after)));
  EXPECT_TRUE(warnings_.empty());
}

TEST_F(RunEventsTest, OptionsMayBeAsSmallAsNumbersAre) {
  options_.weight_decay = 1e-310;
  events(0).line({{"step", 1}, {"loss", 2.0}});
  EXPECT_EQ(events_of(0).size(), 4u);
}

TEST_F(RunEventsTest, OptionsAreUtf8) {
  options_.data = "/d\xe9j\xe0";
  events(0).line({{"step", 1}, {"loss", 2.0}});
  const std::string options = events_of(0).at(2);
  EXPECT_EQ(options.find("/d\xe9"), std::string::npos) << "one such text spoils the tab HParams for all runs";
  EXPECT_NE(options.find("bytes:/d%E9j%E0"), std::string::npos);
}

TEST(RunFolderWithEvents, ARunThatTakesABegunOneRemovesItsEventsAndRecords) {
  const TemporaryFolder folder;
  const auto begin = [&](bool with_line) {
    RunFolder run(folder / "run", false);
    EXPECT_FALSE(RunFolder::has(run.record()) || RunFolder::has(run.train_log()));
    for (const std::string& file : {run.record(), run.train_log()}) write_atomically(file, "of an earlier start");
    EventFile(run.path()).append("options");
    run.write_config("a = 1\n");
    run.open_metrics(0);
    if (with_line) run.log({{"step", 1}});
  };
  for (const bool with_line : {false, false, true}) {
    begin(with_line);
    EXPECT_EQ(event_files(folder / "run").size(), 1u);
  }
  const RunFolder resumed(folder / "run", true);
  EXPECT_EQ(event_files(folder / "run").size(), 1u) << "the lines of a run have their events";
  EXPECT_TRUE(RunFolder::has(resumed.record()));
}

TEST_F(RunEventsTest, OffWritesNothing) {
  options_.tensorboard = false;
  RunEvents none = events(0);
  EXPECT_FALSE(none.on());
  none.line({{"step", 1}, {"loss", 2.0}});
  none.distribution("mask", 1, {1, 2});
  none.end(1);
  EXPECT_TRUE(event_files(folder_.path()).empty());
}

TEST_F(RunEventsTest, WarnsOnceIfTheFileCannotBeWritten) {
  RunEvents lost(options_, folder_ / "lost", 0, [this](const std::string& line) { warnings_.push_back(line); });
  for (int step = 1; step < 4; ++step) lost.line({{"step", step}, {"loss", 2.0}});
  EXPECT_FALSE(lost.on());
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_TRUE(warnings_[0].starts_with(join("warning: ", folder_.path(), "/lost/events.out.tfevents.")))
      << warnings_[0];
}

}  // namespace
}  // namespace vergence
