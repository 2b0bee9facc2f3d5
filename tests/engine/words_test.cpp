// Words and numbers in messages and from files.
#include "engine/text/words.h"

#include <gtest/gtest.h>

namespace vergence {
namespace {

TEST(Words, OneThingHasNoS) {
  EXPECT_EQ(counted(0, "image"), "0 images");
  EXPECT_EQ(counted(1, "image"), "1 image");
  EXPECT_EQ(counted(2, "image"), "2 images");
}

TEST(Words, Lists) {
  EXPECT_EQ(listed({}), "");
  EXPECT_EQ(listed({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(alternatives({}), "");
  EXPECT_EQ(alternatives({"a"}), "a");
  EXPECT_EQ(alternatives({"a", "b"}), "a or b");
  EXPECT_EQ(alternatives({"a", "b", "c"}), "a, b or c");
}

TEST(Numbers, AreTheWholeText) {
  EXPECT_EQ(number_of<std::int64_t>("-12"), -12);
  EXPECT_EQ(number_of<double>("1.5e2"), 150);
  for (const char* text : {"", " 1", "1 ", "+1", "1a", "a", "99999999999999999999"})
    EXPECT_FALSE(number_of<std::int64_t>(text)) << text;
  for (const char* text : {"", "1.5 ", "1,5", "1e999"}) EXPECT_FALSE(number_of<double>(text)) << text;
}

TEST(Numbers, ShortestTextReadsBack) {
  EXPECT_EQ(shortest_text(0.1), "0.1");
  EXPECT_EQ(shortest_text(3), "3");
  for (const double value : {1.0 / 3, 0.1234567891, 1e-300, -2.5e17, 1234567.0})
    EXPECT_EQ(number_of<double>(shortest_text(value)), value) << shortest_text(value);
}

TEST(Numbers, Hexadecimal) {
  EXPECT_EQ(hexadecimal_of("0"), 0u);
  EXPECT_EQ(hexadecimal_of("fF"), 255u);
  EXPECT_EQ(hexadecimal_of("0010ffff"), 0x10ffffu);
  for (const char* text : {"", "-1", "0x1", "1g", " 1", "100000000"}) EXPECT_FALSE(hexadecimal_of(text)) << text;
}

}  // namespace
}  // namespace vergence
