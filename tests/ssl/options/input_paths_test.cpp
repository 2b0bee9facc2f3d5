// Paths of inputs in a run's config.toml: absolute, so that the run can be judged and gone on with from anywhere.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "ssl/options/table.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/small_objectives.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

/// While it lives, the working directory is another.
class InFolder {
 public:
  explicit InFolder(const std::string& path) : before_(fs::current_path()) { fs::current_path(path); }
  ~InFolder() { fs::current_path(before_); }
  InFolder(const InFolder&) = delete;
  InFolder& operator=(const InFolder&) = delete;

 private:
  fs::path before_;
};

class InputPaths : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"data/train", "other", "far/away"}) fs::create_directories(fs::path(folder_ / folder));
    std::ofstream(folder_ / "data/list.txt") << "a\n";
  }
  /// What config.toml has for the option, read without the working directory.
  static std::string saved(const Switches& switches, const std::string& option) {
    Options options;
    set_options(options, switches);
    const std::string text = options_to_toml(options);
    return value_text(*find_option(option), options_from_toml(text, "saved"));
  }
  static std::string refusal(const Switches& then, const Switches& now) {
    Options first, second;
    set_options(first, then);
    set_options(second, now);
    return error_or("", [&] { require_resumable(first, second, "c"); });
  }

  TemporaryFolder folder_;
};

TEST_F(InputPaths, AreSavedAbsolute) {
  const InFolder here(folder_.path());
  const std::string root = fs::current_path().string();
  EXPECT_EQ(saved({{"data", "data"}}, "data"), root + "/data");
  EXPECT_EQ(saved({{"data", "./data/../data"}}, "data"), root + "/data");
  EXPECT_EQ(saved({{"data", "/some/where"}}, "data"), "/some/where");
  EXPECT_EQ(saved({{"data", ""}}, "data"), "");
  EXPECT_EQ(saved({{"data", "d\xe9j"}}, "data"), root + "/d\xe9j");
  EXPECT_EQ(saved({{"classes", "data/list.txt"}}, "classes"), root + "/data/list.txt");
  EXPECT_EQ(saved({{"dsa.prior_file", "e.safetensors"}}, "dsa.prior_file"), root + "/e.safetensors");
  EXPECT_EQ(saved({{"out", "runs/x"}}, "out"), "runs/x") << "no input: stays as it was typed";
  // The name of a shipped list is no path, unless a file has it; the other inputs have no such names.
  EXPECT_EQ(saved({{"classes", "imagenet100"}}, "classes"), "imagenet100");
  EXPECT_EQ(saved({{"data", "imagenet100"}}, "data"), root + "/imagenet100");
  std::ofstream(folder_ / "imagenet100") << "a\n";
  EXPECT_EQ(saved({{"classes", "imagenet100"}}, "classes"), root + "/imagenet100");
}

TEST_F(InputPaths, KeepTheirLinks) {
  fs::create_directory_symlink(folder_ / "data", folder_ / "link");
  fs::create_directory_symlink(folder_ / "far/away", folder_ / "jump");
  const InFolder here(folder_.path());
  const std::string root = fs::current_path().string();
  EXPECT_EQ(saved({{"data", "link"}}, "data"), root + "/link");
  // Behind a link, ".." leads to where the link does: folder/far, not folder.
  fs::create_directory(folder_ / "far/data");
  const std::string path = saved({{"data", "jump/../data"}}, "data");
  EXPECT_TRUE(fs::equivalent(path, folder_ / "far/data")) << path;
}

TEST_F(InputPaths, OfTheSameFileAreTheSameOption) {
  fs::create_symlink(folder_ / "data/list.txt", folder_ / "link.txt");
  const InFolder here(folder_.path());
  const std::string whole = folder_ / "data/list.txt";
  for (const char* option : {"classes", "dsa.prior_file"}) {
    EXPECT_EQ(refusal({{option, "data/list.txt"}}, {{option, whole}}), "");
    EXPECT_EQ(refusal({{option, whole}}, {{option, "./data/list.txt"}}), "");
    EXPECT_EQ(refusal({{option, "link.txt"}}, {{option, whole}}), "");
    EXPECT_EQ(refusal({{option, "gone.txt"}}, {{option, folder_ / "gone.txt"}}), "") << "neither is there";
    EXPECT_NE(refusal({{option, "data/list.txt"}}, {{option, "data/other.txt"}}), "");
    EXPECT_NE(refusal({{option, "data/list.txt"}}, {{option, ""}}), "");
  }
  EXPECT_NE(refusal({{"classes", "imagenet100"}}, {{"classes", "data/list.txt"}}), "");
  EXPECT_EQ(refusal({{"data", "data"}}, {{"data", "other"}}), "") << "may change";
}

TEST(InputPathsOfARun, LeadThereFromAnyFolder) {
  const ImageTree images;
  images.classes("set/train", 8);
  images.classes("set/val", 8);
  images.write("names.txt", "a\nb\n");
  const auto in = [&](const std::string& folder, const std::string& command) {
    ToolProcess tool({"/bin/bash", "-c", "cd " + shell_word(folder) + " && " + command});
    EXPECT_EQ(tool.end(120), "exit 0") << command << "\n" << tool.output();
    return tool.output();
  };
  const auto tool = [](const char* name) { return shell_word(tool_path(name)); };
  const std::string train = tool("pretrain") +
                            " --dataset image_folder --image-size 16 --width 4 --epochs 2 --batch 4 --simclr.hidden 16 "
                            "--device cpu --warmup-epochs 0 ";
  in(images.path(), train + "--data set --classes names.txt --out run --max-steps 2");
  const std::string run = shell_word(images / "run");
  in("/", tool("linear_probe") + " --run " + run + " --epochs 5 --device cpu");
  in("/", tool("evaluate") + " --run " + run + " --metrics knn --device cpu");
  in("/", tool("pretrain") + " --config " + run + "/config.toml --resume --out " + run);
  // A config.toml of before, with paths by the folder it began in, goes on there.
  in(images.path(), train + "--data set --classes names.txt --out old --max-steps 2");
  std::string config = images.folder().bytes("old/config.toml");
  for (const char* name : {"set", "names.txt"}) {
    const std::string whole = "\"" + fs::canonical(images.path()).string() + "/" + name + "\"";
    const std::size_t at = config.find(whole);
    ASSERT_NE(at, std::string::npos) << config;
    config.replace(at, whole.size(), std::string("\"") + name + "\"");
  }
  images.write("old/config.toml", config);
  in(images.path(), tool("pretrain") + " --config old/config.toml --resume");
}

}  // namespace
}  // namespace vergence
