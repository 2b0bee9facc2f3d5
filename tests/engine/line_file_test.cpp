// A file that grows line by line: what is there stays, whoever writes and whatever was cut off.
#include "engine/io/line_file.h"

#include <csignal>
#include <cstdlib>
#include <gtest/gtest.h>
#include <map>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/io/files.h"
#include "tests/support/complaints.h"
#include "tests/support/special_files.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

TEST(LineFile, LinesFollowOneAnother) {
  const TemporaryFolder folder;
  LineFile lines(folder / "lines");
  EXPECT_FALSE(fs::exists(folder / "lines")) << "nothing has been written";
  lines.append("one");
  lines.append("two");
  LineFile(folder / "lines").append("three");
  EXPECT_EQ(folder.bytes("lines"), "one\ntwo\nthree\n");
}

TEST(LineFile, AnUnfinishedLineIsEndedFirst) {
  const TemporaryFolder folder;
  write_atomically(folder / "lines", "{\"whole\": 1}\n{\"ha");
  LineFile(folder / "lines").append("{\"next\": 2}");
  EXPECT_EQ(folder.bytes("lines"), "{\"whole\": 1}\n{\"ha\n{\"next\": 2}\n");
}

TEST(LineFile, ALinkStaysAndItsTargetGrows) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "elsewhere");
  fs::create_symlink("elsewhere/lines", folder / "link");
  LineFile(folder / "link").append("one");
  LineFile(folder / "link").append("two");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(folder.bytes("elsewhere/lines"), "one\ntwo\n");
}

TEST(LineFile, WhatCannotGrowIsRefusedAtOnce) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "folder");
  make_fifo(folder / "fifo");
  EXPECT_EQ(message_of([&] { LineFile(folder / "folder"); }), folder / "folder" + ": is a folder, expected a file");
  expect_contains(message_of([&] { LineFile(folder / "fifo"); }), {folder / "fifo", "is not a regular file"});
  EXPECT_EQ(message_of([&] { LineFile(folder / "none/lines"); }),
            folder / "none/lines" + ": there is no folder " + folder / "none");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 2) << "no trace";
}

TEST(LineFile, AFileThatMayNotBeWrittenIsRefused) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TemporaryFolder folder;
  write_atomically(folder / "lines", "one\n");
  fs::permissions(folder / "lines", fs::perms::owner_read);
  EXPECT_THROW(LineFile(folder / "lines"), UsageError);
}

/// Runs `body` in a process of its own; its exit status.
template <class F>
int in_process(F&& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(LineFile, ALineThatDoesNotFitIsTakenBack) {
  const TemporaryFolder folder;
  write_atomically(folder / "lines", "one\n");
  const int status = in_process([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string message = message_of<Error>([&] { LineFile(folder / "lines").append(std::string(5000, 'x')); });
    if (message.find("lines: cannot write: ") == std::string::npos) _exit(3);
  });
  EXPECT_EQ(status, 0);
  EXPECT_EQ(folder.bytes("lines"), "one\n");
}

TEST(LineFile, ProcessesDoNotMixTheirLines) {
  const TemporaryFolder folder;
  constexpr int processes = 4, each = 50;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    const pid_t child = fork();
    if (child == 0) {
      LineFile lines(folder / "lines");
      for (int i = 0; i < each; ++i)
        lines.append(std::string(static_cast<std::size_t>(20000 + i), static_cast<char>('a' + p)));
      _exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  std::istringstream text(folder.bytes("lines"));
  std::map<char, std::size_t> next;
  int count = 0;
  for (std::string line; std::getline(text, line); ++count) {
    ASSERT_FALSE(line.empty());
    EXPECT_EQ(line, std::string(20000 + next[line[0]]++, line[0])) << "line " << count;
  }
  EXPECT_EQ(count, processes * each);
}

}  // namespace
}  // namespace vergence
