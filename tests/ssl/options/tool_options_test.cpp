// Options of pretrain's table on the command lines of other tools.
#include "ssl/options/tool_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <gtest/gtest.h>

#include "ssl/options/table.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

void parse(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as the library takes them
  app.parse(arguments);
}

GivenOptions parsed(const ToolOption& option, const std::vector<std::string>& arguments) {
  CLI::App app;
  GivenOptions given;
  add_table_option(app, option, given);
  parse(app, arguments);
  return given;
}

/// What pretrain says of the same arguments.
std::string said_by_pretrain(const std::vector<std::string>& arguments) {
  std::vector<const char*> pointers{"pretrain"};
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return message_of([&] { parse_pretrain(static_cast<int>(pointers.size()), pointers.data()); });
}

TEST(ToolOptions, TakeTheWordsOfTheTableAndRefuseOthersAsPretrainDoes) {
  for (const OptionEntry& entry : option_table()) {
    if (entry.choices.empty()) continue;
    for (const std::string& word : entry.choices) {
      const GivenOptions given = parsed({entry.name}, {"--" + entry.name, word});
      EXPECT_EQ(option_text(given.values, entry.name), word);
      EXPECT_TRUE(given.has(entry.name));
    }
    const std::vector<std::string> wrong{"--" + entry.name, "other"};
    EXPECT_EQ(message_of([&] { parsed({entry.name}, wrong); }), said_by_pretrain(wrong));
  }
  EXPECT_EQ(message_of([] { parsed({"batch"}, {"--batch", "1"}); }), said_by_pretrain({"--batch", "1"}));
}

TEST(ToolOptions, ASwitchAloneIsOn) {
  EXPECT_TRUE(parsed({"tune"}, {"--tune"}).values.tune);
  EXPECT_TRUE(parsed({"tune"}, {"--tune", "on"}).values.tune);
  EXPECT_FALSE(parsed({"record"}, {"--record", "off"}).values.record);
  EXPECT_FALSE(parsed({"tune"}, {}).has("tune"));
}

TEST(ToolOptions, AToolMayTakeSomeOfTheWords) {
  const ToolOption some{.name = "precision", .only = {"fp32", "bf16"}};
  EXPECT_EQ(parsed(some, {"--precision", "bf16"}).values.precision, Precision::bf16);
  EXPECT_EQ(message_of([&] {
              parsed(some, {"--precision", "tf32"});
            }),
            "--precision: expected fp32 or bf16, got 'tf32'");
}

TEST(ToolOptions, OnlyWhatIsGivenIsApplied) {
  GivenOptions given;
  given.values.lr = 3;
  given.set("cpu-conv", "direct");
  Options options;
  options.lr = 2, options.cpu_conv = CpuConv::winograd;
  given.apply_to(options);
  EXPECT_EQ(options.lr, 2);
  EXPECT_EQ(options.cpu_conv, CpuConv::direct);
}

TEST(ToolOptions, AToolsOwnWordsAreRefusedLikewise) {
  CLI::App app;
  int count = 1;
  std::optional<int> more;
  const Words<int> words{{"one", 1}, {"two", 2}};
  add_word_option(app, "count", count, words, "");
  add_word_option(app, "more", more, words, "");
  parse(app, {"--count", "two"});
  EXPECT_EQ(count, 2);
  EXPECT_FALSE(more);
  parse(app, {"--more", "one"});
  EXPECT_EQ(more, 1);
  EXPECT_EQ(message_of([&] { parse(app, {"--count", "three"}); }), "--count: expected one or two, got 'three'");
}

}  // namespace
}  // namespace vergence
