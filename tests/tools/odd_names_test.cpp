// Runs whose folders, classes and images have names that are not UTF-8, or would break a line: through the library and
// through the tools.
#include <array>
#include <cstdio>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

#include "datasets/readers/images/pack.h"
#include "datasets/readers/images/packed.h"
#include "engine/io/files.h"
#include "engine/text/json_text.h"
#include "engine/text/printable.h"
#include "engine/text/stored_text.h"
#include "engine/text/utf8.h"
#include "models/encoders/resnet.h"
#include "ssl/evaluation/subject.h"
#include "ssl/options/table.h"
#include "ssl/training/checkpoint.h"
#include "ssl/training/stages.h"
#include "tests/support/complaints.h"
#include "tests/support/image_tree.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

// d, e acute and a grave in Latin-1; a sequence that begins a command of a terminal; a name that is a stored form.
const std::string data_name = "d\xe9j\xe0", run_name = "x_\xe9 100%", class_a = "caf\xe9", class_b = "bytes:%E9";
const std::string image_name = "\xff\x1b[31m.png";

Options parsed(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "pretrain");
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return parse_pretrain(static_cast<int>(pointers.size()), pointers.data());
}

/// Every option that takes any text, which are the paths.
std::vector<std::string> path_options() {
  std::vector<std::string> names;
  for (const OptionEntry& entry : option_table())
    if (expected_text(entry) == "text") names.push_back(entry.name);
  return names;
}

TEST(OddNames, EveryPathAmongTheOptionsIsSavedAndReadBack) {
  EXPECT_GE(path_options().size(), 4u);
  const std::vector<std::string> values{data_name, "bytes:d%E9j", "100%", "a\n\xc2\x9b"};
  for (const std::string& name : values)
    for (const std::string& option : path_options()) {
      Options options;
      set_option(options, option, name);
      const std::string text = options_to_toml(options);
      EXPECT_TRUE(is_utf8(text));
      const Options again = options_from_toml(text, "saved");
      const OptionEntry& entry = *find_option(option);
      EXPECT_EQ(value_text(entry, again), entry.is_input() ? absolute_input(entry, name) : name) << option;
      EXPECT_TRUE(differences(options, again).empty()) << option;
    }
}

TEST(OddNames, FilesHaveTheFormAndTheCommandLineHasTheBytes) {
  const TemporaryFolder folder;
  const std::string file = folder / "c\xe9.toml";
  write_atomically(file, "data = \"bytes:d%E9j%C3%A0\"\nclasses = \"50%\"\n");
  EXPECT_EQ(parsed({"--config", file}).data, "d\xe9j\xc3\xa0");
  EXPECT_EQ(parsed({"--config", file}).classes, "50%");
  EXPECT_EQ(parsed({"--config", file, "--data", "bytes:d%E9j"}).data, "bytes:d%E9j");
  EXPECT_EQ(parsed({"--data", data_name}).data, data_name);
  write_atomically(file, "\nout = \"bytes:d%E\"\n");
  expect_contains(message_of([&] {
                    parsed({"--config", file});
                  }),
                  {file + ":2: out: expected 'bytes:'", "'bytes:d%E'"});
  write_atomically(file, "data = \"d\xe9j\"\n");
  expect_contains(message_of([&] { parsed({"--config", file}); }), {file + ":1: ", "not UTF-8", "\"bytes:d%E9j\""});
}

/// A data set with such names, and the options of a small run on it.
class OddNamesRun : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* part : {"train", "val"})
      for (int i = 0; i < 16; ++i) {
        const std::string& name = i % 2 == 0 ? class_a : class_b;
        images.picture(join(data_name, "/", part, "/", name, "/", 100 + i, i < 2 ? image_name : ".png"), i);
      }
  }
  Options options(const std::string& data) const {
    Options options;
    options.dataset = "image_folder";
    options.data = data;
    options.image_size = 16;
    options.components.get<ResNetSettings>().width = 4;
    options.batch = 4;
    options.epochs = 2;
    options.lr = 0.01;
    options.warmup_epochs = 0;
    options.eval_every = 1;
    options.out = run;
    return options;
  }

  ImageTree images;
  TemporaryFolder folder;
  const std::string data = images / data_name, run = folder / run_name;
};

TEST_F(OddNamesRun, IsTrainedResumedAndOpenedForEvaluation) {
  Options first = options(data);
  first.classes = folder / "cl\xe4sses";
  write_atomically(first.classes, class_a + "\n" + class_b + "\n");
  first.max_steps = 3;
  pretrain(first);
  const std::string config = read_file(run + "/config.toml");
  EXPECT_NE(config.find("data = \"bytes:" + images.path() + "/d%E9j%E0\"\n"), std::string::npos) << config;
  EXPECT_EQ(Checkpoint(run + "/checkpoint.safetensors").position().config, config);
  Options again = options_from_toml(config, "config.toml");
  EXPECT_EQ(again.data, data);
  EXPECT_EQ(again.out, run);
  EXPECT_EQ(again.classes, first.classes);
  again.max_steps = 0;
  again.resume = true;
  const TrainingResult result = pretrain(again);
  EXPECT_EQ(result.started_at, 3);
  EXPECT_EQ(result.steps, 8);

  SubjectOptions subject_options;
  subject_options.run = run;
  subject_options.judged.values.device = "cpu";
  const Subject subject = open_subject(subject_options);
  EXPECT_EQ(subject.data.directory, data);
  EXPECT_EQ(open_dataset(subject.data, "test").count, 16);
  const auto json = parse_json(json_text(subject.description()));
  EXPECT_EQ(json["data"], stored_text(data));
  EXPECT_EQ(read_stored_text(json["encoder_file"].get<std::string>(), ""), run + "/encoder.safetensors");
}

TEST_F(OddNamesRun, ThePackedFileIsTheFolder) {
  const std::string file = folder / "pack\xe4";
  pack_images({.name = "image_folder", .directory = data}, file, 0);
  const PackedImages packed(file);
  EXPECT_EQ(packed.classes(), (std::vector<std::string>{class_b, class_a}));
  EXPECT_EQ(packed.name(0), "train/" + class_b + "/101" + image_name);
  EXPECT_EQ(SafetensorsFile(file).meta("classes"), "bytes:bytes:%25E9\nbytes:caf%E9\n");
  for (const char* split : {"train", "test"}) {
    const Dataset one = open_dataset({.name = "image_folder", .directory = file}, split);
    const Dataset other = open_dataset({.name = "image_folder", .directory = data}, split);
    EXPECT_EQ(one.labels, other.labels);
    EXPECT_EQ(one.classes, 2);
  }
  pretrain(options(data));
  Options from_packed = options(file);
  from_packed.out = folder / "packed\xff";
  pretrain(from_packed);
  EXPECT_EQ(read_file(run + "/encoder.safetensors"), read_file(from_packed.out + "/encoder.safetensors"));
}

TEST_F(OddNamesRun, APackedClassThatStandsForNoBytesIsRefused) {
  const std::string file = folder / "packed";
  pack_images({.name = "image_folder", .directory = data}, file, 0);
  std::string bytes = read_file(file);
  const std::size_t at = bytes.find("caf%E9");
  ASSERT_NE(at, std::string::npos);
  bytes[at + 4] = 'x';
  write_atomically(file, bytes);
  expect_contains(message_of([&] { PackedImages{file}; }),
                  {file + ": metadata 'classes': expected 'bytes:'", "got 'bytes:caf%x9'"});
}

struct ToolResult {
  int status = 0;
  std::string text;  // stdout and stderr
};

/// Runs a tool of the build with these arguments.
ToolResult run_tool(const std::string& tool, const std::vector<std::string>& arguments) {
  std::string command = shell_word(tool_path(tool));
  for (const std::string& argument : arguments) command += " " + shell_word(argument);
  ToolResult result;
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer;
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.text.append(buffer.data(), got);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

/// A tool must end with `status` and print `parts`, in lines that a terminal can show.
void expect_tool(const std::string& tool, const std::vector<std::string>& arguments, int status,
                 const std::vector<std::string>& parts) {
  const ToolResult result = run_tool(tool, arguments);
  EXPECT_EQ(result.status, status) << result.text;
  std::string lines = result.text;
  std::erase_if(lines, [](char c) { return c == '\n' || c == '\r'; });
  EXPECT_EQ(printable(lines), lines) << tool;
  for (const std::string& part : parts)
    EXPECT_NE(result.text.find(part), std::string::npos) << part << " not in: " << result.text;
}

/// The strings of a JSON file that name paths, as bytes.
std::string path_in(const std::string& file, const std::string& key) {
  return read_stored_text(parse_json(read_file(file)).at(key).get<std::string>(), file);
}

TEST_F(OddNamesRun, TheToolsTakeSuchNamesAndShowThemEscaped) {
  if (!std::getenv("VERGENCE_BUILD")) GTEST_SKIP() << "VERGENCE_BUILD does not say where the tools are";
  const std::string shown_run = folder.path() + "/x_\\xe9 100%", shown_data = images.path() + "/d\\xe9j\\xe0";
  const std::string shown_image = shown_data + "/train/caf\\xe9/0\\xff\\x1b[31m.png";
  const std::vector<std::string> train{
      "--dataset", "image_folder",    "--data", data,       "--image-size", "16",    "--width", "4",    "--batch",
      "4",         "--epochs",        "1",      "--device", "cpu",          "--out", run,       "--lr", "0.01",
      "--tune",    "--warmup-epochs", "0"};
  const auto with = [](std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_tool("pretrain", with(train, {"--plan"}), 0, {"16 images"});
  images.write(data_name + "/train/" + class_a + "/0" + image_name, "");
  expect_tool("pretrain", train, 2, {"pretrain: " + shown_image + ": the file is empty"});
  expect_tool("pretrain", with(train, {"--bad-images", "skip", "--max-steps", "2"}), 0,
              {"run folder        " + shown_run + "\n", "\n" + shown_run + "/encoder.safetensors\n"});
  expect_tool("pretrain", {"--config", run + "/config.toml", "--out", run, "--resume", "--max-steps", "0"}, 0,
              {"configuration " + shown_run + "/config.toml\n", "resumed at step 2\n", "skipped " + shown_image});
  expect_tool("pretrain", with(train, {"--bad-images", "skip"}), 2, {shown_run + ": already holds a run"});
  expect_tool("pretrain", with(train, {"--classes", "no\n\xe9", "--plan"}), 2, {"no\\x0a\\xe9: cannot open"});

  expect_tool("evaluate", {"--run", run, "--device", "cpu"}, 0, {shown_run + "/encoder.safetensors, epoch 1, step 4"});
  EXPECT_EQ(path_in(run + "/evaluation.json", "data"), data);
  const std::string out = folder / "o\xe9.json";
  expect_tool("evaluate", {"--run", run, "--device", "cpu", "--out", out, "--metrics", "knn"}, 0, {"knn"});
  EXPECT_EQ(path_in(out, "encoder_file"), run + "/encoder.safetensors");
  expect_tool("linear_probe", {"--run", run, "--device", "cpu", "--protocol", "adam", "--epochs", "2", "--batch", "8"},
              0, {shown_run + "/encoder.safetensors: adam probe", "written to " + shown_run + "/probe.json\n"});
  EXPECT_EQ(path_in(run + "/probe.json", "data"), data);
  expect_tool("evaluate", {"--run", folder / "\xe9"}, 2, {"--run: " + folder.path() + "/\\xe9 is not a folder"});

  const std::string file = folder / "pack\xe4";
  expect_tool("pack", {data, file, "--bad-images", "skip", "--verify"}, 0, {folder.path() + "/pack\\xe4: 32 images"});
  expect_tool("pretrain", {"--dataset", "image_folder", "--data", file, "--verify", "--plan", "--batch", "4"}, 0,
              {folder.path() + "/pack\\xe4: every image has its checksum\n", "16 images"});
  expect_tool(
      "bench",
      {"data", "--dataset", "image_folder", "--data", file, "--batch", "4", "--image", "16", "--seconds", "0.02"}, 0,
      {"\"data\":\"bytes:" + folder.path() + "/pack%E4\""});
}

TEST(OddNames, ControlCharactersOfImageFilesNeverReachTheTerminal) {
  if (!std::getenv("VERGENCE_BUILD")) GTEST_SKIP() << "VERGENCE_BUILD does not say where the tools are";
  const ImageTree images;
  const TemporaryFolder folder;
  const std::string odd = "e\x1b[31m\n\r", shown_odd = "e\\x1b[31m\\x0a\\x0d";
  images.classes("train", 6);
  images.classes("val", 2);
  images.picture("val/c" + odd + "/1.png");
  images.write("train/b/1." + odd, "x");
  images.write("train/a/" + odd + ".png", "no image");
  const std::string bad = images.path() + "/train/a/" + shown_odd + ".png: not a JPEG, PNG or BMP image";
  const std::string kinds =
      "notice: image_folder: " + images.path() + "/train: 1 file of another kind is not read (1 ." + shown_odd + ")\n";
  const std::string left_out = "notice: image_folder: " + images.path() + "/val: 1 image of 1 class that " +
                               images.path() + "/train has not (c" + shown_odd + ") are left out\n";
  const std::string run = folder / "run", &data = images.path();
  const std::vector<std::string> train{"--dataset",
                                       "image_folder",
                                       "--data",
                                       data,
                                       "--image-size",
                                       "16",
                                       "--width",
                                       "4",
                                       "--batch",
                                       "4",
                                       "--epochs",
                                       "1",
                                       "--lr",
                                       "0.01",
                                       "--device",
                                       "cpu",
                                       "--out",
                                       run,
                                       "--warmup-epochs",
                                       "0",
                                       "--eval-every",
                                       "1"};
  const auto with = [](std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  expect_tool("pretrain", train, 2, {"pretrain: " + bad});
  expect_tool("pretrain", with(train, {"--bad-images", "skip"}), 0, {kinds, left_out, "skipped " + bad});
  expect_tool("evaluate", {"--run", run, "--device", "cpu", "--metrics", "knn"}, 0,
              {kinds, left_out, "skipped " + bad});
  expect_tool("linear_probe", {"--run", run, "--device", "cpu", "--protocol", "adam", "--epochs", "1", "--batch", "4"},
              0, {kinds, left_out, "skipped " + bad});
  expect_tool("pack", {data, folder / "packed"}, 2, {kinds, left_out, "pack: " + bad});
  expect_tool("pack", {data, folder / "packed", "--bad-images", "skip"}, 0, {kinds, left_out, "skipped " + bad});
}

}  // namespace
}  // namespace vergence
