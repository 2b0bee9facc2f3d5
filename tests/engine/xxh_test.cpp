// Checksums, against what libxxhash's own program prints, and command lines, against the shell.
#include "engine/io/xxh.h"

#include <array>
#include <cstdio>
#include <gtest/gtest.h>
#include <vector>

#include "engine/text/shell_words.h"

namespace vergence {
namespace {

std::string pattern(std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(i * 7 % 251);
  return text;
}

TEST(Xxh, GivesThePublishedDigests) {
  EXPECT_EQ(xxh128(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(xxh128("abc"), "06b05ab6733a618578af5f94892f3950");
  EXPECT_EQ(xxh128(pattern(100000)), "70227b16fd5f74ef17a701075a95b432");
  EXPECT_EQ(xxh3("abc", 3), 0x78af5f94892f3950u);
}

TEST(Xxh, PartsGiveTheDigestOfTheWhole) {
  const std::string bytes = pattern(100000);
  for (const std::size_t part : {1u, 7u, 255u, 256u, 4096u, 99999u}) {
    Xxh128 hash;
    for (std::size_t at = 0; at < bytes.size(); at += part)
      hash.add(bytes.data() + at, std::min(part, bytes.size() - at));
    EXPECT_EQ(hash.digits(), xxh128(bytes)) << part;
  }
  EXPECT_EQ(Xxh128().digits(), xxh128(""));
}

TEST(Xxh, TextsAreTakenApart) {
  Xxh128 one, other;
  one.add_text("ab"), one.add_text("c");
  other.add_text("a"), other.add_text("bc");
  EXPECT_NE(one.digits(), other.digits());
}

/// The words that a shell reads in a line.
std::vector<std::string> words_of(const std::string& line) {
  std::FILE* pipe = ::popen(("printf '%s\\0' " + line).c_str(), "r");
  std::vector<std::string> words{""};
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c == 0)
      words.emplace_back();
    else
      words.back() += static_cast<char>(c);
  }
  EXPECT_EQ(::pclose(pipe), 0);
  words.pop_back();
  return words;
}

TEST(ShellWords, AShellReadsWhatWasTyped) {
  const std::vector<std::string> words{"build/pretrain",
                                       "--out=runs/a b",
                                       "",
                                       "it's",
                                       "$HOME",
                                       "`ls`",
                                       "a\nb",
                                       "~",
                                       "*",
                                       "d\xe9j\xe0",
                                       "#",
                                       "\\",
                                       "\"q\"",
                                       "--",
                                       "!x",
                                       "é"};
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  EXPECT_EQ(words_of(shell_line(static_cast<int>(argv.size()), argv.data())), words);
}

TEST(ShellWords, PlainOnesStayAsTheyAre) {
  for (const char* word : {"--lr", "0.06", "runs/cifar10_simclr_s1", "--mean=0.4,0.5"})
    EXPECT_EQ(shell_word(word), word);
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
}

}  // namespace
}  // namespace vergence
