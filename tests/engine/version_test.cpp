// What the programs say they were built from.
#include "engine/version.h"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>
#include <regex>

#include "engine/io/files.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

TEST(Version, IsThreeNumbersAndACommit) {
  EXPECT_TRUE(std::regex_match(version(), std::regex("[0-9]+\\.[0-9]+\\.[0-9]+"))) << version();
  EXPECT_TRUE(std::regex_match(build_commit(), std::regex("unknown|[0-9a-f]{40}(\\+changes)?"))) << build_commit();
}

/// A folder of sources with what writes the version's file, and git where the test asks for it.
class VersionFile : public ::testing::Test {
 protected:
  void SetUp() override {
    if (run("cmake --version") != 0 || run("git --version") != 0) GTEST_SKIP() << "needs cmake and git";
    const fs::path source = std::getenv("VERGENCE_SOURCE");
    fs::create_directories(sources() / "engine");
    fs::copy(source / "engine" / "version.cpp.in", sources() / "engine");
    script_ = (source / "cmake" / "version.cmake").string();
  }
  static int run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); }
  int git(const std::string& arguments) {
    return run("git -c user.name=n -c user.email=e -C " + shell_word(sources().string()) + " " + arguments);
  }
  fs::path sources() const { return folder_ / "sources"; }
  std::string commit() {
    const fs::path output = folder_ / "version.cpp";
    EXPECT_EQ(run("cmake -D SOURCE=" + shell_word(sources().string()) +
                  " -D VERSION=1.2.3 -D OUTPUT=" + shell_word(output.string()) + " -P " + shell_word(script_)),
              0);
    const std::string text = read_file(output.string());
    EXPECT_NE(text.find("\"1.2.3\""), std::string::npos) << text;
    std::smatch found;
    EXPECT_TRUE(std::regex_search(text, found, std::regex("build_commit\\(\\) \\{ return \"([^\"]*)\""))) << text;
    return found[1];
  }

  TemporaryFolder folder_;
  std::string script_;
};

TEST_F(VersionFile, NamesTheCommitAndWhetherFilesDiffer) {
  ASSERT_EQ(git("init -q") + git("add .") + git("commit -qm first"), 0);
  const std::string head = commit();
  EXPECT_TRUE(std::regex_match(head, std::regex("[0-9a-f]{40}"))) << head;
  write_atomically((sources() / "engine" / "version.cpp.in").string(),
                   read_file((sources() / "engine" / "version.cpp.in").string()) + "// changed\n");
  EXPECT_EQ(commit(), head + "+changes");
  ASSERT_EQ(git("commit -qam second"), 0);
  EXPECT_NE(commit(), head);
}

TEST_F(VersionFile, IsUnknownOutsideAClone) {
  EXPECT_EQ(commit(), "unknown");
  // Neither is the commit of a clone of something else around the sources.
  ASSERT_EQ(run("git init -q " + shell_word(folder_.path())), 0);
  ASSERT_EQ(run("git -c user.name=n -c user.email=e -C " + shell_word(folder_.path()) + " commit -qm x --allow-empty"),
            0);
  EXPECT_EQ(commit(), "unknown");
}

}  // namespace
}  // namespace vergence
