// What the programs say about themselves: help of readable lines in one style, version, recipes, and one line for what
// they do not know.
#include <gtest/gtest.h>
#include <regex>
#include <sstream>

#include "engine/version.h"
#include "ssl/objective_list.h"
#include "ssl/options/aliases.h"
#include "ssl/options/recipes.h"
#include "ssl/options/table.h"
#include "tests/support/tool_process.h"

namespace vergence {
namespace {

struct Answer {
  std::string end, text;
};

Answer answer(const std::string& command) {
  std::vector<std::string> words;
  std::istringstream in(command);
  for (std::string word; in >> word;) words.push_back(word);
  words[0] = tool_path(words[0]);
  ToolProcess tool(words);
  const std::string end = tool.end();
  return {end, tool.output()};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::vector<std::string> commands{"pretrain", "linear_probe", "finetune",  "evaluate",   "pack",
                                        "bench",    "bench step",   "bench ops", "bench data", "bench suite",
                                        "compare",  "report",       "embed",     "export"};

TEST(Help, HasOneStyleInAllTools) {
  std::vector<std::string> asked;
  for (const std::string& command : commands) asked.push_back(command + " --help");
  for (const char* topic : {"all", "views", "dsa", "machine", "names"})
    asked.push_back(join("pretrain --help ", topic));
  // Of the library that reads the command line.
  const std::regex foreign("INT|FLOAT|BOOLEAN|TEXT:| in \\[|=(true|false)\\b|\\bOPTIONS\\b.*\\bSUBCOMMAND\\b");
  for (const std::string& command : asked) {
    const auto [end, text] = answer(command);
    EXPECT_EQ(end, "exit 0") << command;
    EXPECT_FALSE(std::regex_search(text, foreign)) << command << "\n" << text;
    for (const std::string& line : lines_of(text)) {
      EXPECT_LE(line.size(), 100u) << command << "\n" << line;
      EXPECT_TRUE(line.empty() || line.back() != ' ') << command << "\n" << line;
    }
  }
  EXPECT_TRUE(contains(answer("bench step --help").text, "--record on|off=on ")) << "a truth value";
  EXPECT_TRUE(contains(answer("linear_probe --help").text, "--decode fast|exact=exact ")) << "a choice";
  EXPECT_TRUE(contains(answer("evaluate --help").text, "--run DIR ")) << "a path";
  EXPECT_TRUE(contains(answer("pack --help").text, "--short-side NUMBER=256 ")) << "a number";
  EXPECT_TRUE(contains(answer("linear_probe --help").text, "Example: linear_probe --run ")) << "the opening";
}

TEST(Help, ShowsFirstWhatAUserMeetsFirst) {
  const auto [end, text] = answer("pretrain --help");
  EXPECT_LE(lines_of(text).size(), 65u) << text;
  for (const char* part : {"--dataset ", "--data DIR", "--epochs NUMBER=100 ", "--lr NUMBER=0.06 ", "--config FILE",
                           "--help all", "--recipes", "Examples:", "Exit status: 0 done, 2 bad usage"})
    EXPECT_TRUE(contains(text, part)) << part;
  EXPECT_FALSE(contains(text, "--metamask."));
  EXPECT_EQ(answer("pretrain -h").text, text);
  const std::string byol = answer("pretrain --objective byol --help").text;
  EXPECT_TRUE(contains(byol, "--byol.momentum NUMBER=0.99 ")) << byol;
  EXPECT_FALSE(contains(byol, "--dsa.")) << byol;
}

TEST(Help, KnowsEveryOptionByItsTopic) {
  const std::string all = answer("pretrain --help all").text;
  for (const OptionEntry& entry : option_table()) {
    EXPECT_EQ(contains(all, "\n  --" + entry.name + " ") || contains(all, "\n  --" + entry.name + "\n"),
              entry.both.empty())
        << entry.name;
  }
  for (const auto& [alias, option] : option_aliases()) EXPECT_TRUE(contains(all, "--" + alias)) << alias;
  for (const ObjectiveEntry& objective : objective_entries()) {
    const std::string text = answer(join("pretrain --help ", objective.name)).text;
    std::size_t own = 0, shown = 0;
    for (const OptionEntry& entry : option_table()) own += entry.name.starts_with(join(objective.name, ".")) ? 1 : 0;
    for (const std::string& line : lines_of(text)) shown += line.starts_with("  --") ? 1 : 0;
    EXPECT_EQ(shown, own) << text;
  }
  EXPECT_TRUE(contains(answer("pretrain --help optimizer").text, "--lars.eta "));
  EXPECT_TRUE(contains(answer("pretrain --help=views").text, "--view.crop_low "));
  EXPECT_TRUE(contains(answer("pretrain --help lars").text, "--lars.clip "));
  EXPECT_TRUE(contains(answer("pretrain --help weight_decay").text, "--weight-decay "));
  const auto [end, text] = answer("pretrain --help nosuch");
  EXPECT_EQ(end, "exit 2");
  EXPECT_EQ(lines_of(text).size(), 1u) << text;
  EXPECT_TRUE(contains(text, "pretrain: --help: there is no topic 'nosuch'; expected all, data, ")) << text;
  EXPECT_TRUE(contains(text, ", metamask, ")) << text;
}

TEST(Version, IsToldByAllTools) {
  for (const std::string& command : commands) {
    const std::string tool = command.substr(0, command.find(' '));
    const auto [end, text] = answer(command + " --version");
    EXPECT_EQ(end, "exit 0") << command;
    EXPECT_EQ(text, join(tool, " ", version(), " (commit ", build_commit(), ")\n"));
  }
}

TEST(Unknown, OptionsGetOneLineInAllTools) {
  const std::vector<std::pair<std::string, std::string>> mistakes{
      {"linear_probe --wieght-decay 1", "--wieght-decay: unknown option, did you mean --weight-decay? (see --help)"},
      {"evaluate --metric knn", "--metric: unknown option, did you mean --metrics? (see --help)"},
      {"pack --short 3 a b", "--short: unknown option, did you mean --short-side? (see --help)"},
      {"bench step --bacth 3", "--bacth: unknown option, did you mean --batch? (see --help)"},
      {"bench data --bacth 3", "--bacth: unknown option, did you mean --batch? (see --help)"},
      {"bench stpe", "stpe: unknown command, expected step, ops, data or suite (see --help)"},
      {"evaluate --zzz", "--zzz: unknown option (see --help)"}};
  for (const auto& [command, line] : mistakes) {
    const auto [end, text] = answer(command);
    EXPECT_EQ(end, "exit 2") << command;
    EXPECT_EQ(text, command.substr(0, command.find(' ')) + ": " + line + "\n");
  }
  // Known ones may have underscores: it is the file that is missed.
  EXPECT_TRUE(contains(answer("linear_probe --encoder_file no.safetensors --final_lr=1 --protocol adam").text,
                       "linear_probe: no.safetensors: "));
  EXPECT_TRUE(contains(answer("pack --short_side 3 --bad_images skip no no.packed").text, "no"));
}

TEST(Recipes, AreListedByDataSet) {
  const auto [end, text] = answer("pretrain --recipes");
  EXPECT_EQ(end, "exit 0");
  const std::vector<std::string> names = recipe_names();
  EXPECT_GE(names.size(), 70u);
  for (const std::string& name : names) EXPECT_TRUE(contains(text, "\n  " + name + " ")) << name;
  for (const std::string& line : lines_of(text)) EXPECT_LE(line.size(), 100u) << line;
  EXPECT_TRUE(contains(text, "\ncifar10\n")) << text;
  EXPECT_TRUE(std::regex_search(
      text,
      std::regex("\n  cifar10_simclr_short +10 epochs of batch 256, resnet18 of width 16, sgd *(-|\n    gave .*)\n")))
      << text;
  const std::vector<std::pair<std::string, std::string>> near{{"cifar10_simclr_shrt", "cifar10_simclr_short"},
                                                              {"simclr_cifar10", "cifar10_simclr"},
                                                              {"cifar10-simclr-short.toml", "cifar10_simclr_short"},
                                                              {"stl10", "stl10_simclr"}};
  for (const auto& [given, meant] : near) {
    const auto [refused, line] = answer("pretrain --config " + given);
    EXPECT_EQ(refused, "exit 2");
    EXPECT_EQ(line, "pretrain: --config: there is no file " + given +
                        " and no shipped recipe of that name, did you mean " + meant +
                        "? (pretrain --recipes lists them)\n");
  }
}

}  // namespace
}  // namespace vergence
