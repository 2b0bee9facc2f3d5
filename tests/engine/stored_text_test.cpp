// Names that are bytes: what of them is UTF-8, how they stand in files, how messages show them.
#include "engine/text/stored_text.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/io/safetensors.h"
#include "engine/text/json_text.h"
#include "engine/text/printable.h"
#include "engine/text/utf8.h"
#include "tests/support/complaints.h"
#include "tests/support/many_names.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

TEST(Utf8, EveryCharacterAndNoOther) {
  EXPECT_EQ(utf8_length(""), 0u);
  for (std::uint32_t number = 0; number <= last_character; ++number) {
    const std::string bytes = utf8_of(number);
    ASSERT_EQ(utf8_length(bytes), is_surrogate(number) ? 0 : bytes.size()) << number;
    ASSERT_EQ(utf8_length(bytes + "\x80"), is_surrogate(number) ? 0 : bytes.size()) << number;
    ASSERT_EQ(utf8_length(bytes.substr(0, bytes.size() - 1)), 0u) << number;
    for (int length = static_cast<int>(bytes.size()) + 1; length <= 4; ++length)
      ASSERT_EQ(utf8_length(encoded(number, length)), 0u) << number << " in " << length << " bytes";
  }
  for (std::uint32_t number = last_character + 1; number < 0x200000; ++number)
    ASSERT_EQ(utf8_length(encoded(number, 4)), 0u) << number;
}

TEST(Utf8, NoOtherBytesAreTaken) {
  std::array<std::int64_t, 5> found{};
  std::string text(3, 0);
  for (int bytes = 0; bytes < 1 << 24; ++bytes) {
    for (int i = 0; i < 3; ++i) text[static_cast<std::size_t>(i)] = static_cast<char>(bytes >> 8 * i);
    ++found.at(utf8_length(text));
  }
  EXPECT_EQ(found[1], 128 << 16);
  EXPECT_EQ(found[2], (0x800 - 0x80) << 8);
  EXPECT_EQ(found[3], 0x10000 - 0x800 - 2048);
  EXPECT_EQ(found[4], 0);
  std::int64_t of_four = 0;  // by their first two bytes and the borders of the others
  text.resize(4);
  for (int bytes = 0; bytes < 1 << 16; ++bytes)
    for (const int third : {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff})
      for (const int fourth : {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff}) {
        text = {static_cast<char>(bytes), static_cast<char>(bytes >> 8), static_cast<char>(third),
                static_cast<char>(fourth)};
        of_four += utf8_length(text) == 4;
      }
  EXPECT_EQ(of_four, 4 * (0x100000 >> 12));
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\xc3\xa9z"));
  EXPECT_FALSE(is_utf8("a\xc3\xa9\xe9"));
  EXPECT_FALSE(is_utf8("a\xc3"));
}

TEST(StoredText, Forms) {
  EXPECT_EQ(stored_text(""), "");
  EXPECT_EQ(stored_text("runs/100 %/d\xc3\xa9j\xc3\xa0"), "runs/100 %/d\xc3\xa9j\xc3\xa0") << "UTF-8 as it is";
  EXPECT_EQ(stored_text("d\xe9j 5%"), "bytes:d%E9j 5%25");
  EXPECT_EQ(stored_text("\xc3\xa9\xe9/\xed\xa0\x80"), "bytes:\xc3\xa9%E9/%ED%A0%80");
  EXPECT_EQ(stored_text("bytes:d%E9j"), "bytes:bytes:d%25E9j");
  EXPECT_EQ(stored_text("a/bytes:"), "a/bytes:");
  EXPECT_EQ(read_stored_text("bytes:d%e9j%25", ""), "d\xe9j%") << "digits of either case";
  EXPECT_EQ(read_stored_text("100%", ""), "100%");
}

TEST(StoredText, ReadsBackAsTheSameBytes) {
  for_many_names(20000, [](const std::string& name) {
    const std::string text = stored_text(name);
    ASSERT_TRUE(is_utf8(text)) << shortened(name);
    ASSERT_EQ(read_stored_text(text, ""), name) << shortened(name);
    ASSERT_EQ(text == name, is_utf8(name) && !name.starts_with("bytes:")) << shortened(name);
  });
}

TEST(StoredText, WhatStandsForNoBytesIsRefused) {
  for (const std::string wrong : {"%", "a%4", "%zz", "%4z", "%z4", "% 4", "%+4", "%-4", "%0x", "%00", "%25%"})
    EXPECT_EQ(message_of([&] { read_stored_text("bytes:" + wrong, "run.toml:3: data"); }),
              "run.toml:3: data: expected 'bytes:' and a name in which % and two hexadecimal digits stand for a byte "
              "other than 0 (%25 for %), got 'bytes:" +
                  wrong + "'");
}

TEST(StoredText, StandsInJson) {
  EXPECT_EQ(json_text({{"data", "d\xe9j"}, {"list", {"bytes:", 1, {{"deep", "\xff\n"}}}}}),
            R"({"data":"bytes:d%E9j","list":["bytes:bytes:",1,{"deep":"bytes:%FF\n"}]})");
  EXPECT_EQ(json_text({{"a", nullptr}}, 2), "{\n  \"a\": null\n}");
  for_many_names(2000, [](const std::string& name) {
    const auto json = parse_json(json_text({{"name", name}}));
    ASSERT_EQ(read_stored_text(json["name"].get<std::string>(), ""), name) << shortened(name);
  });
}

TEST(StoredText, SafetensorsHeadersTakeNoOther) {
  const TemporaryFolder folder;
  const std::string file = folder / "x.safetensors";
  write_safetensors(file, {}, {{"classes", stored_text("caf\xe9")}});
  EXPECT_EQ(SafetensorsFile(file).meta("classes"), "bytes:caf%E9");
  EXPECT_EQ(message_of<Error>([&] {
              write_safetensors(file, {}, {{"classes", "caf\xe9"}});
            }),
            file + ": metadata 'classes' is not UTF-8");
  EXPECT_EQ(message_of<Error>([&] {
              write_safetensors(file, {{"a\xe9", "U8", {0}, nullptr, 0}}, {});
            }),
            file + ": the tensor name 'a\\xe9' is not UTF-8");
}

TEST(Messages, AreLinesOfPrintableText) {
  EXPECT_EQ(printable("d\xe9j\n\x1b[31m\x7f"), "d\\xe9j\\x0a\\x1b[31m\\x7f");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("caf\xc3\xa9 \xe2\x82\xac"), "caf\xc3\xa9 \xe2\x82\xac");
  EXPECT_EQ(printable("\xc2\x9b\xc2\xa0"), "\\xc2\\x9b\xc2\xa0") << "U+009B begins commands as ESC [ does";
  for_many_names(20000, [](const std::string& name) {
    const std::string line = printable(name);
    ASSERT_TRUE(is_utf8(line));
    ASSERT_EQ(printable(line), line) << "nothing is escaped twice";
    for (std::size_t at = 0; at < line.size(); ++at) {
      const auto byte = static_cast<unsigned char>(line[at]);
      ASSERT_TRUE(byte >= 0x20 && byte != 0x7f);
      ASSERT_TRUE(byte != 0xc2 || static_cast<unsigned char>(line.at(at + 1)) >= 0xa0);
    }
  });
}

TEST(Messages, AreCutBetweenCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "abc...");
  EXPECT_EQ(shortened("a\xc3\xa9z", 3), "a\xc3\xa9...");
  EXPECT_EQ(shortened("a\xc3\xa9z", 2), "a...");
  EXPECT_EQ(shortened("\xf0\x9f\x98\x80z", 3), "...");
  EXPECT_EQ(shortened("a\xc3z\xff", 2), "a\\xc3...") << "a byte that begins no character is one by itself";
  EXPECT_EQ(shortened("abc", 0), "...");
}

TEST(Json, WhatIsTooDeepIsNoJson) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + "1" + std::string(depth, ']'); };
  EXPECT_FALSE(parse_json(nested(100)).is_discarded());
  EXPECT_TRUE(parse_json(nested(101)).is_discarded());
  EXPECT_TRUE(parse_ordered_json("{\"a\":" + nested(200000) + "}").is_discarded());
  EXPECT_TRUE(parse_json(std::string(200000, '[')).is_discarded());
  const std::string brackets = "[\"" + std::string(200, '[') + "\\\"" + std::string(200, '{') + "\"]";
  EXPECT_EQ(parse_json(brackets)[0], std::string(200, '[') + "\"" + std::string(200, '{')) << "in a string";
  std::string list = "[";
  for (int i = 0; i < 300; ++i) list += "[1],";
  EXPECT_EQ(parse_json(list + "2]").size(), 301u) << "beside each other";
}

}  // namespace
}  // namespace vergence
