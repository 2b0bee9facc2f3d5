// Configuration files that extend others.
#include "ssl/options/config_file.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>

#include "datasets/decoders/image_file.h"
#include "engine/io/files.h"
#include "kernels/error.h"
#include "models/encoders/resnet.h"
#include "ssl/options/options.h"
#include "ssl/options/recipes.h"
#include "ssl/options/table.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

class ExtendedFile : public testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  static std::string complaint(const std::string& path) {
    return error_or("accepted", [&] { options_from_file(path); });
  }
  static Options parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "pretrain");
    return parse_pretrain(static_cast<int>(arguments.size()), arguments.data());
  }

  TemporaryFolder folder_;
};

TEST_F(ExtendedFile, WinsOverItsBases) {
  write("shared/first.toml", "lr = 1.0\nepochs = 3\nbatch = 16\n");
  write("shared/second.toml", "extends = \"first.toml\"\nlr = 2.0\nepochs = 4\n");
  write("third.toml", "lr = 3.0\n[simclr]\nhidden = 7\n");
  const std::string path =
      write("own.toml", "batch = 32\nextends = [\"shared/second.toml\", \"third.toml\"]\n[simclr]\noutput = 9\n");
  const Options options = options_from_file(path);
  EXPECT_EQ(options.lr, 3.0);
  EXPECT_EQ(options.epochs, 4);
  EXPECT_EQ(options.batch, 32);
  const Options run = parse({"--config", path.c_str(), "--epochs", "5"});
  EXPECT_EQ(run.epochs, 5);
  EXPECT_EQ(run.lr, 3.0);
}

TEST_F(ExtendedFile, OfBothViewsWinsOverABaseOfOneView) {
  write("base.toml", "[view2]\nblur_p = 0.25\nhue = 0.5\n");
  const Options options = options_from_file(write("own.toml", "extends = \"base.toml\"\n[view]\nblur_p = 0.75\n"));
  EXPECT_EQ(options.view[0].blur_p, 0.75f);
  EXPECT_EQ(options.view[1].blur_p, 0.75f);
  EXPECT_EQ(options.view[1].hue, 0.5f);
}

TEST_F(ExtendedFile, OfTheLastObjectiveGivesTemperatureItsMeaning) {
  write("base.toml", "objective = \"simclr\"\n");
  const std::string path = write("own.toml", "extends = \"base.toml\"\nobjective = \"byol\"\n");
  EXPECT_EQ(options_from_file(path).objective, "byol");
  write("warm.toml", "temperature = 0.25\n");
  EXPECT_NE(complaint(write("own.toml", "extends = [\"warm.toml\", \"base.toml\"]\nobjective = \"byol\"\n")),
            "accepted");
}

TEST_F(ExtendedFile, MayNameAShippedRecipe) {
  const std::string path = write("own.toml", "extends = \"cifar10_simclr\"\nepochs = 3\n");
  Options recipe = options_from_file(find_recipe("cifar10_simclr"));
  EXPECT_EQ(recipe.epochs, 1000);
  recipe.epochs = 3;
  EXPECT_EQ(options_to_toml(options_from_file(path)), options_to_toml(recipe));
  EXPECT_FALSE(parse({"--config", path.c_str()}).batch_chosen) << "the batch is the recipe's, not the user's";
  const std::string recipe_file = find_recipe("cifar10_simclr");
  EXPECT_FALSE(parse({"--config", recipe_file.c_str()}).batch_chosen) << "the same by its path";
}

TEST_F(ExtendedFile, OfTheUserChoosesTheBatchOfTheFilesThatExtendIt) {
  write("base.toml", "extends = \"cifar10_simclr\"\nbatch-size = 24\n");
  const std::string path = write("own.toml", "extends = \"base.toml\"\nepochs = 3\n");
  EXPECT_EQ(parse({"--config", path.c_str()}).batch, 24);
  EXPECT_TRUE(parse({"--config", path.c_str()}).batch_chosen);
  const std::string later = write("later.toml", "extends = [\"base.toml\", \"cifar10_simclr\"]\n");
  EXPECT_FALSE(parse({"--config", later.c_str()}).batch_chosen) << "the recipe has the last word";
}

TEST_F(ExtendedFile, SaysWhatIsWrongInOneLine) {
  const auto says = [&](const std::string& text, const std::string& what) {
    const std::string path = write("own.toml", text);
    EXPECT_EQ(complaint(path), path + ":1: extends: " + what);
  };
  const std::string wanted = "expected the name of a file, or a list of names";
  says("extends = 3\n", wanted);
  says("extends = [\"a.toml\", 3]\n", wanted);
  says("extends = \"\"\n", wanted);
  says("extends = \"none/here.toml\"\n",
       "there is no file " + folder_.path() + "/none/here.toml and no shipped recipe 'none/here.toml'");
  const std::string own = folder_ / "own.toml";
  says("extends = \"own.toml\"\n", own + " extends this file in turn");
  const std::string other = write("other.toml", "extends = \"own.toml\"\n");
  write("own.toml", "extends = \"other.toml\"\n");
  EXPECT_EQ(complaint(own), other + ":1: extends: " + own + " extends this file in turn");
  EXPECT_EQ(error_or("accepted", [] { options_from_toml("extends = \"a\"\n", "saved"); }),
            "saved:1: extends: expected a complete file, which extends no other");
}

TEST(ShippedRecipes, DoNotListWhatTheyShare) {
  for (const std::string& name : recipe_names()) EXPECT_NE(name.front(), '_') << name;
  EXPECT_TRUE(find_recipe("_base_solo_learn").empty());
}

/// Every option's default in the order of a saved file, also of what a run without any options does not use.
std::string all_defaults() {
  const Options defaults;
  std::vector<std::string> order{""};
  std::map<std::string, std::string> tables;
  for (const OptionEntry& entry : option_table()) {
    if ((entry.flags & (OptionEntry::command_line_only | OptionEntry::if_set)) || !entry.both.empty()) continue;
    const std::size_t dot = entry.name.find('.');
    const std::string table = dot == std::string::npos ? "" : entry.name.substr(0, dot);
    if (std::find(order.begin(), order.end(), table) == order.end()) order.push_back(table);
    tables[table] += entry.name.substr(dot + 1) + " = " + value_toml(entry, defaults) + "\n";
  }
  std::string text = "# The default of every option\n";
  for (const std::string& table : order) text += (table.empty() ? "" : "\n[" + table + "]\n") + tables[table];
  return text;
}

/// A change of default_config.toml changes runs of those who gave no option.
TEST(Defaults, AreThoseOfTheirFile) {
  const std::string file = std::string(std::getenv("VERGENCE_SOURCE")) + "/tests/ssl/options/default_config.toml",
                    defaults = all_defaults();
  std::string expected = read_file(file);
  const std::string turbo = "jpeg = \"turbo\"";
  if (!has_jpeg_turbo()) expected.replace(expected.find(turbo), turbo.size(), "jpeg = \"stb\"");
  EXPECT_EQ(expected, defaults) << "if that is meant, the file must become:\n" << defaults;
}

/// earlier_config.toml was written by commit 7fe240c, whose names of some options were others.
TEST(EarlierVersion, HasItsConfigFileRead) {
  const Options options =
      options_from_file(std::string(std::getenv("VERGENCE_SOURCE")) + "/tests/ssl/options/earlier_config.toml");
  EXPECT_FALSE(options.record);
  for (const ViewSettings& view : options.view) {
    EXPECT_EQ(view.gray_p, 0.3f);
    EXPECT_EQ(view.solarize_p, 0.4f);
    EXPECT_EQ(view.solarize_threshold, 0.25f);
  }
  EXPECT_EQ(options.objective, "dsa");
  EXPECT_EQ(options.lr, 0.1);
}

}  // namespace
}  // namespace vergence
