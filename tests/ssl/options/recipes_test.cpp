// Every shipped recipe: it is what its name says, and it starts, for two steps, on generated files of its data set's
// format. Encoder, heads and batch are small here; everything else is as the recipe has it.
#include "ssl/options/recipes.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "datasets/class_lists.h"
#include "engine/io/files.h"
#include "kernels/error.h"
#include "kernels/random.h"
#include "models/encoder_file.h"
#include "models/encoders/resnet.h"
#include "ssl/objective.h"
#include "ssl/options/builder.h"
#include "ssl/options/table.h"
#include "ssl/training/stages.h"
#include "tests/support/cifar_files.h"
#include "tests/support/image_tree.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

fs::path recipe_path(const std::string& recipe) {
  const std::string path = find_recipe(recipe);
  require(!path.empty(), "there is no recipe ", recipe);
  return path;
}

Options recipe_options(const std::string& recipe) { return options_from_file(recipe_path(recipe).string()); }

std::string value_of(const Options& options, const std::string& name) {
  const OptionEntry* entry = find_option(name);
  return entry ? value_text(*entry, options) : "";
}

// ---- what a run gave

TEST(RecipeResults, EveryRecipeSaysWhatItGave) {
  for (const std::string& recipe : recipe_names()) EXPECT_NE(recipe_result(recipe_path(recipe).string()), "") << recipe;
  EXPECT_NE(recipes_text().find("  -\n"), std::string::npos);
}

TEST(RecipeResults, AnotherFirstLineIsRefused) {
  const TemporaryFolder folder;
  const auto result_of = [&](const std::string& line) {
    std::ofstream(folder / "recipe.toml") << line << "\nepochs = 3\n";
    return recipe_result(folder / "recipe.toml");
  };
  EXPECT_EQ(result_of("# Result: never run to the end"), "never run to the end");
  const std::string result = "linear probe 61.20 ± 0.31 %, 3 seeds; AMD EPYC, 2 cores; 1.4 h; commit 6549f741";
  EXPECT_EQ(result_of("# Result: " + result), result);
  for (const char* line :
       {"", "# SimCLR on CIFAR-10", "# Result: good", "# Result: probe 61.20 %; AMD; 1.4 h; commit 6549f741",
        "# Result: probe 61.20 %, 3 seeds; AMD; 1.4 h"})
    EXPECT_THROW(result_of(line), UsageError) << line;
}

// ---- generated data

constexpr std::size_t cifar_bytes = 3072, stl_bytes = 3 * 96 * 96;

/// So many images as noise, each behind so many zeros.
std::string noise(std::size_t images, std::size_t zeros, std::size_t bytes) {
  Random random(images + bytes, Purpose::test);
  std::string all;
  for (std::size_t i = 0; i < images; ++i) {
    all.append(zeros, 0);
    for (std::size_t p = 0; p < bytes; ++p) all += static_cast<char>(random.below(256));
  }
  return all;
}

/// The files of all data sets, each in a folder of the data set's name.
class GeneratedData {
 public:
  GeneratedData() {
    for (const char* name :
         {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"}) {
      const std::string file = std::string("cifar10/") + name + ".bin";
      tree_.write(file, noise(images, 1, cifar_bytes));
      fs::resize_file(tree_ / file, 10000 * (1 + cifar_bytes));  // the others are black, and take no room on the disk
    }
    for (const int number : {1, 2, 3}) write_cifar_file(tree_ / "composites", number);  // whole: of every class
    tree_.write("cifar100/train.bin", noise(images, 2, cifar_bytes));
    tree_.write("stl10/train_X.bin", noise(10, 0, stl_bytes));
    tree_.write("stl10/train_y.bin", "\1\2\3\4\5\6\7\10\11\12");
    tree_.write("stl10/unlabeled_X.bin", noise(images, 0, stl_bytes));
    for (const std::string& name : shipped_classes("imagenet100"))
      tree_.picture("imagenet100/train/" + name + "/" + name + "_1.JPEG", ++pictures_);
    for (int i = 0; i < images; ++i) tree_.picture("image_folder/inner/" + std::to_string(i) + ".png", ++pictures_);
  }
  std::string folder(const std::string& data_set) const { return tree_ / data_set; }
  const std::string& root() const { return tree_.path(); }

  static constexpr int images = 24;

 private:
  ImageTree tree_;
  int pictures_ = 0;
};

// ---- runs

/// The recipe's options for a small encoder, small heads and a small batch.
Options shrunk(const std::string& recipe, const GeneratedData& data) {
  Options options = recipe_options(recipe);
  options.data = data.folder(options.dataset);
  options.device = "cpu";
  options.components.get<ResNetSettings>().width = 4;
  options.batch = 8;
  options.limit = GeneratedData::images;
  options.eval_limit = options.batch;
  options.max_steps = 2;
  for (const OptionEntry& entry : option_table()) {
    const std::string last = entry.name.substr(entry.name.rfind('.') + 1);
    const bool hidden = last == "hidden" || last.ends_with("_hidden");
    const bool output = last == "output" || last.ends_with("_output");
    if ((hidden || output) && value_text(entry, options) != "0") set_option(options, entry.name, hidden ? "16" : "8");
  }
  set_option(options, "mrcl.decoder_width", "4");
  set_option(options, "dsa.eta", "3");  // less than the batch
  return options;
}

/// Runs recipes in a folder, each once. A recipe of the data set's and the objective's name has its run folder from
/// its options, as a user's run would; where a prior is read from a file, SimCLR's run goes first and leaves one.
class RecipeRuns {
 public:
  RecipeRuns() : before_(fs::current_path()) { fs::current_path(data_.root()); }
  ~RecipeRuns() { fs::current_path(before_); }
  RecipeRuns(const RecipeRuns&) = delete;
  RecipeRuns& operator=(const RecipeRuns&) = delete;

  const Options& run(const std::string& recipe) {
    const auto [place, is_new] = runs_.emplace(recipe, shrunk(recipe, data_));
    Options& options = place->second;
    if (!is_new) return options;
    if (recipe != options.dataset + "_" + options.objective) options.out = "runs/" + recipe;
    if (value_of(options, "dsa.preset") == "dsa-code")
      set_option(options, "dsa.prior_file", run(options.dataset + "_simclr").run_folder() + "/encoder.safetensors");
    const TrainingResult result = pretrain(options);
    EXPECT_EQ(result.exit_status, 0);
    EXPECT_EQ(result.steps, options.max_steps);
    EXPECT_TRUE(std::isfinite(result.loss)) << result.loss;
    return options;
  }

 private:
  fs::path before_;
  GeneratedData data_;
  std::map<std::string, Options> runs_;
};

class Recipe : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() { runs_ = std::make_unique<RecipeRuns>(); }
  static void TearDownTestSuite() { runs_.reset(); }

  static std::unique_ptr<RecipeRuns> runs_;
};

std::unique_ptr<RecipeRuns> Recipe::runs_;

TEST_P(Recipe, IsWhatItsNameSays) {
  const std::string& name = GetParam();
  const Options options = recipe_options(name);
  const std::string start = options.dataset + "_" + options.objective;
  ASSERT_EQ(name.rfind(start, 0), 0u) << "a recipe for " << start;
  const std::string rest = name.substr(start.size());
  const std::string base = value_of(options, options.objective + ".base");
  const bool variant = rest.empty() || rest == "_code" || rest == "_short" || rest == "_" + options.encoder;
  if (base.empty()) {
    EXPECT_TRUE(variant) << rest;
  } else {
    EXPECT_EQ(base, variant ? "simclr" : rest.substr(1));
  }
  EXPECT_EQ(rest == "_code", value_of(options, "dsa.preset") == "dsa-code");
}

TEST_P(Recipe, HasAScheduleThatFits) {
  const Options options = recipe_options(GetParam());
  const auto epochs = static_cast<double>(options.epochs);
  EXPECT_LT(options.warmup_epochs, epochs);
  EXPECT_EQ(options.step_epochs.empty(), options.schedule != ScheduleKind::step);
  EXPECT_TRUE(std::is_sorted(options.step_epochs.begin(), options.step_epochs.end()));
  for (const double epoch : options.step_epochs) EXPECT_LT(epoch, epochs);
}

TEST_P(Recipe, Starts) {
  const Options options = runs_->run(GetParam());
  const EncoderSettings encoder =
      load_encoder(options.run_folder() + "/encoder.safetensors", cpu_backend()).encoder.settings();
  const Options recipe = recipe_options(GetParam());
  EXPECT_EQ(encoder.encoder, recipe.encoder);
  EXPECT_EQ(encoder.described(), encoder_settings(options, encoder.image_size).described());
}

INSTANTIATE_TEST_SUITE_P(Recipes, Recipe, ::testing::ValuesIn(recipe_names()),
                         [](const auto& recipe) { return recipe.param; });

TEST(Recipes, EveryObjectiveStartsFromNothing) {
  const GeneratedData data;
  const TemporaryFolder runs;
  for (const std::string& objective : objective_names()) {
    const std::string out = runs / objective, files = data.folder("cifar10");
    // A batch above DSA's 20 neighbors.
    const std::vector<const char*> words{
        "pretrain", "--dataset", "cifar10",     "--data",   files.c_str(), "--objective", objective.c_str(),
        "--out",    out.c_str(), "--max-steps", "1",        "--limit",     "24",          "--batch",
        "24",       "--width",   "4",           "--device", "cpu"};
    const TrainingResult result = pretrain(parse_pretrain(static_cast<int>(words.size()), words.data()));
    EXPECT_EQ(result.exit_status, 0) << objective;
    EXPECT_EQ(result.steps, 1) << objective;
    EXPECT_TRUE(fs::exists(out + "/encoder.safetensors")) << objective;
  }
}

TEST(Recipes, DsaAttractsFewerPairsWhereClassesAreMany) {
  for (const std::string& recipe : recipe_names()) {
    const Options options = recipe_options(recipe);
    if (options.objective != "dsa" || value_of(options, "dsa.preset") == "dsa-code") continue;
    const bool hundred = options.dataset == "cifar100" || options.dataset == "imagenet100";
    EXPECT_EQ(value_of(options, "dsa.quantile"), hundred ? "0.02" : "0.1") << recipe;
  }
}

TEST(Recipes, EveryDataSetHasOneForEveryObjective) {
  std::map<std::string, std::set<std::string>> of_data_set;
  for (const std::string& recipe : recipe_names()) {
    const std::string data_set = recipe_options(recipe).dataset;
    of_data_set[data_set].insert(recipe.substr(data_set.size() + 1));
  }
  const std::vector<std::string> encoders = encoder_names();
  std::erase_if(of_data_set["cifar10"], [&](const std::string& name) {  // what CIFAR-10 alone has
    return name.ends_with("_short") ||
           std::any_of(encoders.begin(), encoders.end(), [&](const auto& one) { return name.ends_with("_" + one); });
  });
  for (const char* data_set : {"cifar10", "stl10", "imagenet100"})
    EXPECT_EQ(of_data_set[data_set], of_data_set["cifar100"]) << data_set;
  for (const std::string& objective : objective_names()) {
    EXPECT_TRUE(of_data_set["cifar100"].count(objective)) << objective;
    EXPECT_TRUE(of_data_set["confounded_shapes"].count(objective)) << objective;
  }
}

}  // namespace
}  // namespace vergence
