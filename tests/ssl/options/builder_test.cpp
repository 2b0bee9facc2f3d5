// What declarations of options may not be.
#include "ssl/options/builder.h"

#include <gtest/gtest.h>

#include "tests/support/complaints.h"

namespace vergence {
namespace {

struct Declared {
  std::int64_t whole = 5;
  double number = 0.5;
};

ComponentOption whole_option(const std::string& name) {
  return {.name = name, .field = ComponentOption::field_of(&Declared::whole), .help = ""};
}

TEST(OptionBuilder, RefusesADefaultOutOfRange) {
  ComponentOption option{.name = "mine.share", .field = ComponentOption::field_of(&Declared::number), .help = ""};
  EXPECT_EQ(message_of<Error>([&] { OptionBuilder().component(option, "mine"); }),
            "--mine.share: its default is 0.5, expected from 1 to 4096 (low and high of its ComponentOption)");
  option.low = 0.5;
  OptionBuilder builder;
  builder.component(option, "mine");
  EXPECT_EQ(builder.entries.at(0).range.low, 0.5);
}

TEST(OptionBuilder, RefusesANameThatTwoDeclare) {
  OptionBuilder builder;
  builder.component(whole_option("a-size"), "first");
  EXPECT_EQ(message_of<Error>([&] { builder.component(whole_option("a_size"), "second"); }),
            "--a_size: declared twice, by first and by second: expected another name, as encoders, data sets and "
            "objectives share the names of options");
  builder = {};
  builder.component(whole_option("a-size"), "first");
  builder.group = "Training";
  EXPECT_NE(message_of<Error>([&] {
              builder.flag(
                  "a-size", [](Options& o) -> bool& { return o.tune; }, "");
            }).find("by first and by Training"),
            std::string::npos);
}

TEST(OptionBuilder, TakesAnObjectiveWithoutOptions) {
  OptionBuilder builder;
  builder.objective({"mine", "Mine", nullptr});
  builder.objective({"other", "Other", [](OptionBuilder& t) { t.component(whole_option("other.size"), "other"); }});
  ASSERT_EQ(builder.entries.size(), 1u);
  EXPECT_EQ(builder.entries[0].group, "Other");
}

}  // namespace
}  // namespace vergence
