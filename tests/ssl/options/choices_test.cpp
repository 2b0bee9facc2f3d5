// Options of words: each word goes in and comes out the same way, and who writes another one is told all.
#include <gtest/gtest.h>
#include <set>

#include "engine/text/enum_words.h"
#include "engine/text/words.h"
#include "models/encoder.h"
#include "ssl/options/jpeg_choice.h"
#include "ssl/options/table.h"
#include "tests/support/complaints.h"

namespace vergence {
namespace {

Options parse(const std::vector<std::string>& arguments) {
  std::vector<const char*> pointers{"pretrain"};
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return parse_pretrain(static_cast<int>(pointers.size()), pointers.data());
}

/// The options that are words and can stand in a file.
std::vector<OptionEntry> choices() {
  std::vector<OptionEntry> found;
  for (const OptionEntry& entry : option_table())
    if (!entry.choices.empty() && !(entry.flags & OptionEntry::command_line_only)) found.push_back(entry);
  return found;
}

/// A line of a file.
std::string line_of(const OptionEntry& entry, const std::string& value) { return entry.name + " = " + value + "\n"; }

/// What a word asks for besides itself.
const std::vector<std::string> beside{"--step-epochs", "1"};
const char* const beside_line = "step-epochs = [1]\n";

std::vector<std::string> with(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), beside.begin(), beside.end());
  return arguments;
}

TEST(Choices, EveryWordComesBackFromTheCommandLineAndFromAFile) {
  EXPECT_GT(choices().size(), 40u);
  for (const OptionEntry& entry : choices())
    for (const std::string& word : entry.choices) {
      const Options typed = parse(with({"--" + entry.name, word}));
      EXPECT_EQ(value_text(entry, typed), word) << entry.name;
      const Options read = options_from_toml(beside_line + line_of(entry, "\"" + word + "\""), "a file");
      EXPECT_EQ(value_text(entry, read), word) << entry.name;
      EXPECT_EQ(value_toml(entry, read), "\"" + word + "\"") << entry.name;
      EXPECT_EQ(value_text(entry, options_from_toml(options_to_toml(read), "saved")), word) << entry.name;
      Options copy;
      copy_option(entry, read, copy);
      EXPECT_EQ(option_text(copy, entry.name), word) << entry.name;
    }
}

TEST(Choices, WordsOfOneOptionDiffer) {
  for (const OptionEntry& entry : choices()) {
    const std::set<std::string> different(entry.choices.begin(), entry.choices.end());
    EXPECT_EQ(different.size(), entry.choices.size()) << entry.name;
  }
}

TEST(Choices, AnUnknownWordIsToldAllThatThereAre) {
  for (const OptionEntry& entry : choices()) {
    const std::string end = ": expected " + alternatives(entry.choices) + ", got 'other'";
    EXPECT_EQ(message_of([&] { parse({"--" + entry.name, "other"}); }), "--" + entry.name + end);
    const std::string line = line_of(entry, "\"other\"");
    EXPECT_EQ(message_of([&] { options_from_toml(line, "a.toml"); }), "a.toml:1: " + entry.name + end);
    for (const std::string& word : entry.choices) EXPECT_NE(end.find(word), std::string::npos) << entry.name;
  }
}

TEST(Choices, ATruthValueInAFileIsTheWordOnOrOff) {
  for (const char* option : {"exclude-1d", "dsa.detach_z_in_am"}) {
    const OptionEntry& entry = *find_option(option);
    EXPECT_EQ(option_text(options_from_toml(line_of(entry, "true"), "a"), option), "on");
    EXPECT_EQ(option_text(options_from_toml(line_of(entry, "false"), "a"), option), "off");
  }
  EXPECT_EQ(message_of([] { options_from_toml("schedule = true\n", "a"); }),
            "a:1: schedule: expected cosine, step or constant, got 'on'");
}

TEST(Choices, OfAnEncoderComeBackFromItsMetadata) {
  for (const EncoderFamily& family : encoder_families())
    for (const EncoderOption& option : family.options) {
      const auto* choice = std::get_if<EncoderOption::Choice>(&option.field);
      if (!choice) continue;
      for (const std::string& word : choice->words()) {
        EncoderSettings settings;
        settings.encoder = family.names[0];
        ASSERT_TRUE(choice->set(settings.components, word));
        auto metadata = settings.metadata();
        EXPECT_EQ(metadata.at(option.name), word);
        EncoderSettings again = EncoderSettings::from_metadata(metadata, "f");
        EXPECT_EQ(choice->word(again.components), word);
        metadata[option.name] = "other";
        EXPECT_EQ(message_of([&] { EncoderSettings::from_metadata(metadata, "f"); }),
                  "f: metadata: '" + option.name + "': expected " + alternatives(choice->words()) + ", got 'other'");
      }
    }
}

TEST(JpegChoice, IsThatOfTheBuild) {
  EXPECT_EQ(option_text(Options(), "jpeg"), has_jpeg_turbo() ? "turbo" : "stb");
  EXPECT_EQ(find_option("jpeg")->choices.front(), has_jpeg_turbo() ? "turbo" : "stb");
}

/// Two builds may have other defaults.
TEST(JpegChoice, CountsForImageFilesAlone) {
  Options first, second;
  first.jpeg = JpegLibrary::turbo;
  second.jpeg = JpegLibrary::stb;
  EXPECT_TRUE(differences(first, second).empty());
  first.dataset = second.dataset = "image_folder";
  EXPECT_EQ(differences(first, second).size(), has_jpeg_turbo() ? 1u : 0u);
}

TEST(JpegChoice, WithoutLibjpegTurboIsStbWhateverAFileSays) {
  OptionBuilder built;
  add_jpeg_choice(built, false);
  const OptionEntry& entry = built.entries.front();
  EXPECT_EQ(entry.choices, std::vector<std::string>{"stb"});
  EXPECT_EQ(value_text(entry, Options()), "stb") << "the default";
  const auto assigned = [&](const char* word, Setting::Type type) {
    Options options;
    assign_option(entry, {"jpeg", word, type, "here"}, options);
    return value_toml(entry, options);
  };
  EXPECT_EQ(assigned("turbo", Setting::Type::text), "\"stb\"");
  EXPECT_EQ(assigned("stb", Setting::Type::text), "\"stb\"");
  EXPECT_EQ(assigned("stb", Setting::Type::untyped), "\"stb\"");
  EXPECT_EQ(message_of([&] { assigned("turbo", Setting::Type::untyped); }), "here: expected stb, got 'turbo'");
  Options copy;
  copy.jpeg = JpegLibrary::turbo;
  copy_option(entry, Options(), copy);
  EXPECT_EQ(copy.jpeg, JpegLibrary::stb);
}

TEST(JpegChoice, AFileThatAsksForAMissingLibraryIsNoticed) {
  const auto file = [](const char* word) { return Layer{{{"jpeg", word, Setting::Type::text, "a.toml:3: jpeg"}}}; };
  EXPECT_EQ(missing_turbo({file("turbo")}, "imagenet", true), "");
  EXPECT_EQ(missing_turbo({file("turbo")}, "cifar10", false), "") << "no image files";
  EXPECT_EQ(missing_turbo({{}}, "imagenet", false), "");
  EXPECT_EQ(missing_turbo({file("turbo"), file("stb")}, "imagenet", false), "") << "the last wins";
  EXPECT_EQ(missing_turbo({file("stb"), {}, file("turbo")}, "imagenet", false),
            "a.toml:3: jpeg: this build has no libjpeg-turbo, so stb_image decodes JPEG files");
}

TEST(Words, AValueWithoutOneIsAnError) {
  const Words<int> words{{"one", 1}, {"two", 2}};
  EXPECT_STREQ(words.text_of(2), "two");
  EXPECT_EQ(*words.value_of("one"), 1);
  EXPECT_EQ(words.value_of("three"), nullptr);
  EXPECT_THROW(words.text_of(3), Error);
}

}  // namespace
}  // namespace vergence
