// A run on a real terminal of 40, of 80 and of changing columns: its progress line stays one line.
#include <algorithm>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <string>
#include <sys/ioctl.h>
#include <vector>

#include "tests/support/temporary_folder.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

/// What a terminal shows: rows of characters. A line that reaches the last column goes on in the next row.
class Screen {
 public:
  explicit Screen(std::size_t columns) : columns_(columns) {}

  void put(char c) {
    if (c == '\r') {
      column_ = 0;
    } else if (c == '\n') {
      next_row();
    } else {
      std::string& row = rows_.back();
      row.resize(std::max(row.size(), column_ + 1), ' ');
      row[column_++] = c;
      if (column_ == columns_) column_ = 0, next_row();
    }
  }
  const std::vector<std::string>& rows() const { return rows_; }

 private:
  /// The row below; there is always one more.
  void next_row() { rows_.emplace_back(); }

  std::size_t columns_, column_ = 0;
  std::vector<std::string> rows_{""};
};

/// A terminal, and the tool in it.
class ToolInTerminal {
 public:
  ToolInTerminal(const std::vector<std::string>& command, unsigned short columns)
      : ends_(opened(columns)), tool_(command, ends_[1]) {
    ::close(ends_[1]);
  }
  ~ToolInTerminal() { ::close(ends_[0]); }
  ToolInTerminal(const ToolInTerminal&) = delete;
  ToolInTerminal& operator=(const ToolInTerminal&) = delete;

  void resize(unsigned short columns) {
    const winsize size{30, columns, 0, 0};
    require(::ioctl(ends_[0], TIOCSWINSZ, &size) == 0, "cannot resize the terminal");
  }
  /// What it writes within some seconds.
  std::string read(double seconds) {
    std::string text;
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) {
      pollfd ready{ends_[0], POLLIN, 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      std::array<char, 4096> part{};
      const ssize_t got = ::read(ends_[0], part.data(), part.size());
      if (got <= 0) break;
      text.append(part.data(), static_cast<std::size_t>(got));
    }
    return text;
  }
  ToolProcess& tool() { return tool_; }

 private:
  static std::array<int, 2> opened(unsigned short columns) {
    std::array<int, 2> ends{-1, -1};
    const winsize size{30, columns, 0, 0};
    require(::openpty(ends.data(), &ends[1], nullptr, nullptr, &size) == 0, "cannot open a terminal");
    for (const int end : ends) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    return ends;
  }

  std::array<int, 2> ends_;
  ToolProcess tool_;
};

/// Enough epochs and steps for long numbers.
std::vector<std::string> long_run(const std::string& out) {
  return {tool_path("pretrain"),
          "--out",
          out,
          "--device",
          "cpu",
          "--image-size",
          "16",
          "--width",
          "4",
          "--limit",
          "400",
          "--batch",
          "16",
          "--epochs",
          "1000000",
          "--simclr.hidden",
          "32",
          "--eval-every",
          "1",
          "--eval-limit",
          "3000"};
}

bool is_progress(const std::string& row) {
  return row.find("/25M") != std::string::npos || row.find(" < ") != std::string::npos ||
         row.find("evaluating ") != std::string::npos;
}

/// Every line that was rewritten in place, without the blanks that cover the one before.
std::vector<std::string> rewritten(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; (at = text.find('\r', at)) != std::string::npos;) {
    const std::size_t end = std::min(text.find_first_of("\r\n", ++at), text.size());
    if (is_progress(text.substr(at, end - at))) lines.push_back(text.substr(at, end - at));
  }
  return lines;
}

class Terminal : public testing::TestWithParam<unsigned short> {
 protected:
  TemporaryFolder folder_;
};

TEST_P(Terminal, ShowsOneProgressLine) {
  ToolInTerminal terminal(long_run(folder_ / "run"), GetParam());
  Screen screen(GetParam());
  std::string text;
  ASSERT_TRUE(comes_true([&] {
    const std::string part = terminal.read(0.2);
    text += part;
    for (const char c : part) {
      screen.put(c);
      EXPECT_LE(std::count_if(screen.rows().begin(), screen.rows().end(), is_progress), 1);
    }
    const auto has = [&](const char* words) { return text.find(words) != std::string::npos; };
    return rewritten(text).size() > 20 && has("/4,000") && has("/25M") && has("\repoch 1: kNN top1 ");
  })) << text;
  for (const std::string& line : rewritten(text)) EXPECT_LT(line.size(), GetParam()) << line;
  terminal.tool().send(SIGINT);
  EXPECT_EQ(terminal.tool().end(), "exit 130");
  // Above the last words: the line as it stood.
  for (const char c : terminal.read(0.2)) screen.put(c);
  const auto& rows = screen.rows();
  EXPECT_LE(std::count_if(rows.begin(), rows.end(), is_progress), 1);
}
INSTANTIATE_TEST_SUITE_P(OfColumns, Terminal, testing::Values(20, 40, 80));

TEST(ResizedTerminal, HasALineOfItsOwnWidth) {
  const TemporaryFolder folder;
  ToolInTerminal terminal(long_run(folder / "run"), 120);
  const auto widest = [&](double seconds) {
    std::size_t most = 0;
    for (const std::string& line : rewritten(terminal.read(seconds))) most = std::max(most, line.size());
    return most;
  };
  ASSERT_TRUE(comes_true([&] { return widest(0.5) > 50; })) << terminal.tool().output();
  terminal.resize(40);
  widest(0.5);  // what was on its way
  ASSERT_TRUE(comes_true([&] {
    const std::size_t width = widest(0.5);
    EXPECT_LT(width, 40u);
    return width > 10;
  }));
  terminal.resize(100);
  ASSERT_TRUE(comes_true([&] { return widest(0.5) > 50; }));
}

}  // namespace
}  // namespace vergence
