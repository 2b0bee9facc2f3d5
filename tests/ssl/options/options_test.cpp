// The options of pretrain: precedence, exact messages, the saved file, and what a resumed run may change.
#include "ssl/options/options.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "engine/io/files.h"
#include "kernels/error.h"
#include "models/encoders/resnet.h"
#include "ssl/options/effects.h"
#include "ssl/options/recipes.h"
#include "ssl/options/table.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

namespace fs = std::filesystem;

Options parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "pretrain");
  return parse_pretrain(static_cast<int>(arguments.size()), arguments.data());
}

std::string complaint(const std::vector<const char*>& arguments) {
  return error_or("accepted", [&] { parse(arguments); });
}

std::string toml_complaint(const std::string& text) {
  std::string complaint = error_or("accepted", [&] { options_from_toml(text, "run.toml"); });
  EXPECT_EQ(complaint.find('\n'), std::string::npos) << complaint;
  return complaint;
}

ResNetSettings of_resnet(const Options& options) { return options.components.get<ResNetSettings>(); }

/// Every saved value, by name.
std::string all_values(const Options& options) {
  std::string text;
  for (const OptionEntry& entry : option_table()) {
    if (!(entry.flags & OptionEntry::command_line_only)) text += entry.name + "=" + value_text(entry, options) + "\n";
  }
  return text;
}

class ConfigFile : public testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path_) << text; }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "config.toml";
};

TEST_F(ConfigFile, CommandLineOverFileOverDefaults) {
  write("width = 24\nepochs = 7\n[simclr]\ntemperature = 0.7\n");
  const Options options = parse({"--config", path_.c_str(), "--epochs", "9"});
  EXPECT_EQ(of_resnet(options).width, 24);
  EXPECT_EQ(options.epochs, 9);
  EXPECT_EQ(value_text(*find_option("simclr.temperature"), options), "0.7");
  EXPECT_EQ(options.batch, Options().batch) << "with --config no recipe applies";
  EXPECT_EQ(options.applied, std::vector<std::string>{"configuration " + path_});
}

TEST_F(ConfigFile, BothViewsOnTheCommandLineBeatOneViewInTheFile) {
  write("[view2]\nblur_p = 0.25\n[view]\nblur_p = 0.5\n");
  const Options file = parse({"--config", path_.c_str()});
  EXPECT_EQ(file.view[0].blur_p, 0.5f);
  EXPECT_EQ(file.view[1].blur_p, 0.25f);
  const Options line = parse({"--config", path_.c_str(), "--view1.blur_p", "1", "--view.blur_p", "0"});
  EXPECT_EQ(line.view[0].blur_p, 1.0f);
  EXPECT_EQ(line.view[1].blur_p, 0.0f);
}

TEST(PretrainOptions, TheRecipeOfDataSetAndObjectiveApplies) {
  const Options options = parse({"--dataset", "cifar10", "--objective", "barlow_twins", "--lr", "0.5"});
  EXPECT_EQ(options.optimizer, OptimizerKind::lars);
  EXPECT_TRUE(options.lars.clip);
  EXPECT_EQ(options.lr, 0.5) << "the command line wins";
  EXPECT_EQ(options.epochs, 1000);
  EXPECT_EQ(options.view[0].solarize_p, 0.0f);
  EXPECT_EQ(options.view[1].solarize_p, 0.2f);
  ASSERT_EQ(options.applied.size(), 1u);
  EXPECT_EQ(options.applied[0], "recipe " + find_recipe("cifar10_barlow_twins"));
  EXPECT_EQ(parse({}).applied[0], "recipe " + find_recipe("confounded_shapes_simclr"));
  for (const char* data_set : {"imagenet", "image_folder"}) {
    const Options photographs = parse({"--dataset", data_set, "--objective", "byol"});
    EXPECT_EQ(photographs.applied[0], "recipe " + find_recipe("imagenet100_byol"));
    EXPECT_EQ(photographs.dataset, data_set);
    EXPECT_EQ(of_resnet(photographs).stem, Stem::imagenet);
  }
  EXPECT_EQ(parse({"--dataset", "image_folder"}).applied[0], "recipe " + find_recipe("image_folder_simclr"));
}

TEST(PretrainOptions, AShippedRecipeCanBeNamed) {
  const Options options = parse({"--config", "cifar10_simclr_short"});
  EXPECT_EQ(options.dataset, "cifar10");
  EXPECT_EQ(of_resnet(options).width, 16);
  EXPECT_EQ(complaint({"--config", "nothing"}),
            "--config: there is no file nothing and no shipped recipe of that name (pretrain --recipes lists them)");
  EXPECT_EQ(complaint({"--config", "cifar10_simclr.toml"}),
            "--config: there is no file cifar10_simclr.toml and no shipped recipe of that name, did you mean "
            "cifar10_simclr? (pretrain --recipes lists them)");
  EXPECT_EQ(complaint({"--config", "no/file.toml"}), "--config: there is no file no/file.toml");
}

TEST(PretrainOptions, EveryShippedRecipeParsesAndSaysWhatItIsFor) {
  int count = 0;
  for (const std::string& name : recipe_names()) {
    const Options options = options_from_file(find_recipe(name));
    EXPECT_EQ(name.rfind(options.dataset + "_" + options.objective, 0), 0u) << name;
    EXPECT_LE(options.warmup_epochs, static_cast<double>(options.epochs)) << name;
    ++count;
  }
  EXPECT_GE(count, 7);
}

TEST(PretrainOptions, Switches) {
  EXPECT_TRUE(parse({"--resume"}).resume);
  EXPECT_FALSE(parse({}).resume);
  EXPECT_TRUE(of_resnet(parse({"--zero-init-gamma", "--seed", "3"})).zero_init_gamma);
  EXPECT_FALSE(of_resnet(parse({"--stem-relu", "off"})).stem_relu);
  EXPECT_FALSE(of_resnet(parse({"--stem-relu=off"})).stem_relu);
  EXPECT_EQ(parse({"--step-epochs", "60,80.5"}).step_epochs, (std::vector<double>{60, 80.5}));
  EXPECT_EQ(parse({"--lr=1e-3"}).lr, 1e-3);
  EXPECT_EQ(parse({"--seed", "4"}).run_folder(), "runs/confounded_shapes_simclr_s4");
  EXPECT_EQ(parse({"--out", "x"}).run_folder(), "x");
  EXPECT_DOUBLE_EQ(parse({"--lr", "0.1", "--batch", "512"}).effective_lr(), 0.2);
}

TEST(PretrainOptions, OfAnotherEncoderAreRefusedOnTheCommandLineAlone) {
  const std::string resnet = Options().encoder;
  for (const std::string& encoder : encoder_names()) {
    if (&family_of(encoder) == &family_of(resnet)) continue;
    EXPECT_EQ(complaint({"--encoder", encoder.c_str(), "--width", "16"}),
              "--width: " + encoder + " has no such option");
    EXPECT_EQ(parse({"--config", "cifar10_simclr_short", "--encoder", encoder.c_str()}).encoder, encoder);
  }
}

TEST(PretrainOptions, LarsAloneExcludesVectorsByDefault) {
  Options options;
  EXPECT_FALSE(options.excludes_1d());
  options.optimizer = OptimizerKind::lars;
  EXPECT_TRUE(options.excludes_1d());
  options.exclude_1d = false;
  EXPECT_FALSE(options.excludes_1d());
}

TEST(PretrainOptions, CommandLineErrors) {
  EXPECT_EQ(complaint({"--epochz", "3"}), "--epochz: unknown option, did you mean --epochs? (see --help)");
  EXPECT_EQ(complaint({"cifar10"}).rfind("cifar10: unknown argument", 0), 0u);
  EXPECT_EQ(complaint({"--epochs", "ten"}), "--epochs: expected a whole number from 1 to 1000000, got 'ten'");
  EXPECT_EQ(complaint({"--epochs", "1.5"}), "--epochs: expected a whole number from 1 to 1000000, got '1.5'");
  EXPECT_EQ(complaint({"--epochs", "0"}), "--epochs: expected a whole number from 1 to 1000000, got '0'");
  EXPECT_EQ(complaint({"--epochs", "99999999999999999999"}),
            "--epochs: expected a whole number from 1 to 1000000, got '99999999999999999999'");
  EXPECT_EQ(complaint({"--lr", "nan"}), "--lr: expected a finite number 0 or more, got 'nan'");
  EXPECT_EQ(complaint({"--lr", "inf"}), "--lr: expected a finite number 0 or more, got 'inf'");
  EXPECT_EQ(complaint({"--lr=-1"}), "--lr: expected a finite number 0 or more, got '-1'");
  EXPECT_EQ(complaint({"--lr", "-1"}), "--lr: expected a finite number 0 or more, got '-1'");
  EXPECT_EQ(complaint({"--lr", "0.1x"}), "--lr: expected a finite number 0 or more, got '0.1x'");
  EXPECT_EQ(complaint({"--lr", "1e999"}), "--lr: expected a finite number 0 or more, got '1e999'");
  EXPECT_EQ(complaint({"--simclr.temperature", "0"}),
            "--simclr.temperature: expected a finite number above 0, got '0'");
  EXPECT_EQ(complaint({"--view.flip_p", "1.1"}), "--view.flip_p: expected a finite number from 0 to 1, got '1.1'");
  EXPECT_EQ(complaint({"--momentum", "1"}), "--momentum: expected a finite number from 0 to below 1, got '1'");
  EXPECT_EQ(complaint({"--tune", "maybe"}), "--tune: expected on or off, got 'maybe'");
  EXPECT_EQ(complaint({"--resume", "runs/x"}),
            "--resume: expected on or off, got 'runs/x'; the run's folder is --out's");
  EXPECT_EQ(complaint({"--ckpt_path", "a.ckpt"}).find("--ckpt_path: unknown option, did you mean --resume?"), 0U);
  EXPECT_EQ(complaint({"--optimizer", "rmsprop"}), "--optimizer: expected sgd, lars, adam or adamw, got 'rmsprop'");
  EXPECT_EQ(complaint({"--objective", "moco"}),
            "--objective: expected " + expected_text(*find_option("objective")) + ", got 'moco'");
  EXPECT_EQ(complaint({"--dataset", "npz"}),
            "--dataset: expected " + expected_text(*find_option("dataset")) + ", got 'npz'");
  EXPECT_EQ(complaint({"--step-epochs", "60,,80"}),
            "--step-epochs: expected a list of finite numbers above 0, got '60,,80'");
  EXPECT_EQ(complaint({"--step-epochs", "60,"}), "--step-epochs: expected a list of finite numbers above 0, got '60,'");
  EXPECT_EQ(complaint({"--step-epochs", "80,60"}), "--step-epochs: expected ascending epochs");
  EXPECT_EQ(complaint({"--schedule", "step"}), "--schedule step: expected --step-epochs, as 60,80");
  EXPECT_EQ(complaint({"--mean", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"}), "--mean: expected at most 16 numbers, got 17");
  EXPECT_NE(complaint({"--view2.crop_low", "0.9", "--view2.crop_high", "0.5"}).find("view2"), std::string::npos);
  EXPECT_EQ(complaint({"--lr"}).find('\n'), std::string::npos);
  EXPECT_EQ(complaint({"--lr"}).rfind("--lr", 0), 0u) << complaint({"--lr"});
  EXPECT_NE(complaint({"--lr", "1", "--lr", "2"}), "accepted");
}

TEST(PretrainOptions, FileErrorsNameFileAndLine) {
  EXPECT_EQ(toml_complaint("# comment\n\nepochs = \"ten\"\n"),
            "run.toml:3: epochs: expected a whole number from 1 to 1000000, got the string \"ten\"");
  EXPECT_EQ(toml_complaint("epochs = 1.0\n"),
            "run.toml:1: epochs: expected a whole number from 1 to 1000000, got the float 1.0");
  EXPECT_EQ(toml_complaint("width = \"16\"\n"),
            "run.toml:1: width: expected a whole number from 1 to 4096, got the string \"16\"");
  EXPECT_EQ(toml_complaint("lr = \"0.1\"\n"),
            "run.toml:1: lr: expected a finite number 0 or more, got the string \"0.1\"");
  EXPECT_EQ(toml_complaint("tune = 1\n"), "run.toml:1: tune: expected on or off, got the integer 1");
  EXPECT_EQ(toml_complaint("data = [1.5]\n"), "run.toml:1: data: expected text, got the list [1.5]");
  EXPECT_EQ(toml_complaint("data = \"a\\u0000b\"\n"),
            "run.toml:1: data: expected a text without a zero byte, got 'a\\x00b'");
  EXPECT_EQ(toml_complaint("objective = \"a\\u0000b\"\n").find("got 'a\\x00b'") != std::string::npos, true);
  EXPECT_EQ(toml_complaint("\"a\\u0000b\" = 3\n"), "run.toml:1: a\\x00b: unknown option");
  EXPECT_EQ(toml_complaint("lr = inf\n"), "run.toml:1: lr: expected a finite number 0 or more, got 'inf'");
  EXPECT_EQ(toml_complaint("lr = nan\n"), "run.toml:1: lr: expected a finite number 0 or more, got 'nan'");
  EXPECT_EQ(toml_complaint("optimizer = true\n"), "run.toml:1: optimizer: expected sgd, lars, adam or adamw, got 'on'");
  EXPECT_EQ(toml_complaint("seed = 1\n[simclr]\ntemprature = 0.5\n"),
            "run.toml:3: simclr.temprature: unknown option, did you mean simclr.temperature?");
  EXPECT_EQ(toml_complaint("simclr.temperature = 0\n"),
            "run.toml:1: simclr.temperature: expected a finite number above 0, got '0'");
  EXPECT_EQ(toml_complaint("resume = true\n"), "run.toml:1: resume: can only be given on the command line");
  EXPECT_EQ(toml_complaint("mean = [0.1, \"x\"]\n"),
            "run.toml:1: mean: expected a list of numbers, got one with a string in it");
  EXPECT_EQ(toml_complaint("mean = 0.1\n"), "run.toml:1: mean: expected a list of finite numbers, got the float 0.1");
  EXPECT_EQ(toml_complaint("seed = 2020-01-01\n"),
            "run.toml:1: seed: expected a number, a string, true, false or a list of numbers");
  EXPECT_EQ(toml_complaint("simclr = 3\n").rfind("run.toml:1: simclr: unknown option", 0), 0u);
  EXPECT_EQ(toml_complaint("seed = 1\nepochs = = 3\n").rfind("run.toml:2: ", 0), 0u);
  EXPECT_EQ(toml_complaint("seed = 1\nseed = 2\n").rfind("run.toml:2: ", 0), 0u);
  EXPECT_EQ(toml_complaint("\xff = 1\n").rfind("run.toml:1: ", 0), 0u);
  EXPECT_EQ(toml_complaint("[[\n= 1\n"), "run.toml: not a TOML file");
  EXPECT_EQ(toml_complaint("\"ep\\noch\" = 1\n").rfind("run.toml:1: ep\\x0aoch: unknown option", 0), 0u);
  std::string deep = "a";
  for (int i = 0; i < 100000; ++i) deep += ".a";
  EXPECT_EQ(toml_complaint(deep + " = 1\n").rfind("run.toml: has 100000 dots, expected", 0), 0u);
  // A path may have as many, and does not nest. What it is read from is what is written.
  Options options;
  options.data = "/";
  for (int i = 0; i < 2000; ++i) options.data += ".a";
  EXPECT_EQ(options_from_toml(options_to_toml(options), "run.toml").data, options.data);
  EXPECT_EQ(toml_complaint("a = \"\"\"\n" + deep + " = \"b\"\n\"\"\"\n").rfind("run.toml: has 100000 dots", 0), 0u);
}

TEST(PretrainOptions, TablesAndDottedNamesAreTheSame) {
  const Options table = options_from_toml("[simclr]\ntemperature = 0.3\nhidden = 5\n[lars]\nclip = true\n", "a");
  const Options dotted = options_from_toml("simclr.temperature = 0.3\nsimclr.hidden = 5\nlars.clip = \"on\"\n", "b");
  EXPECT_EQ(all_values(table), all_values(dotted));
  EXPECT_EQ(value_text(*find_option("simclr.hidden"), table), "5");
}

/// Whether there is nothing to change an option to.
bool has_one_value(const OptionEntry& entry) { return entry.choices.size() == 1; }

/// The same options with every value of the table changed to another valid one, where there is one. No two options may
/// have one field: none loses its value to a later one.
Options everything_changed() {
  Options options;
  int count = 0;
  std::vector<std::pair<const OptionEntry*, std::string>> given;
  for (const OptionEntry& entry : option_table()) {
    if (entry.fields.size() > 1 || entry.flags & OptionEntry::command_line_only || has_one_value(entry)) continue;
    const std::string old = value_text(entry, options);
    std::string value;
    if (entry.is_bool()) {
      value = old == "on" ? "off" : "on";
    } else if (entry.is_list()) {
      value = join("0.25,1e-05,3.", 100 + ++count);
    } else if (!entry.choices.empty()) {
      value = entry.choices[entry.choices[0] == old ? 1 : 0];
    } else if (std::holds_alternative<std::function<std::string&(Options&)>>(entry.fields[0])) {
      value = join("/a \"quoted\"\\ path\n\t\xc3\xa4", ++count);
    } else if (std::holds_alternative<std::function<std::int64_t&(Options&)>>(entry.fields[0])) {
      value = std::to_string(37 + ++count);
    } else {
      // Numbers that need all their digits, different for all options.
      ++count;
      const bool upper = entry.name.find("_high") != std::string::npos;
      value = join("0.", upper ? 8 : 3, 1234567 + 1000 * count);
      if (entry.range.high <= 0.5) value = join("0.1234", count);
    }
    assign_option(entry, {entry.name, value, Setting::Type::untyped, "--" + entry.name}, options);
    given.emplace_back(&entry, value_text(entry, options));
    EXPECT_NE(given.back().second, old) << entry.name;
  }
  for (const auto& [entry, value] : given) EXPECT_EQ(value_text(*entry, options), value) << entry->name;
  std::sort(options.step_epochs.begin(), options.step_epochs.end());
  options.restarted_at = {3}, options.stretched_at = {5, 7};
  return options;
}

TEST(SavedOptions, ReadBackEqual) {
  for (const Options& options :
       {Options(), everything_changed(), parse({"--objective", "byol", "--dataset", "cifar10"})}) {
    const std::string text = options_to_toml(options);
    const Options again = options_from_toml(text, "saved");
    EXPECT_EQ(all_values(again), all_values(options)) << text;
    EXPECT_EQ(options_to_toml(again), text);
    EXPECT_TRUE(differences(options, again).empty());
  }
}

TEST(SavedOptions, AreCompleteAndGrouped) {
  const Options changed = everything_changed();
  const std::string text = options_to_toml(changed);
  const std::vector<Setting> settings = read_toml(text, "saved");
  std::size_t expected = 0;
  for (const OptionEntry& entry : option_table()) {
    if (has_one_value(entry) && !unused_owner(entry.name, changed).empty()) continue;
    // One line for each option of one view or none: everything but the interpolation differs between the views here.
    if (entry.fields.size() == 1 && !(entry.flags & OptionEntry::command_line_only)) ++expected;
  }
  EXPECT_EQ(settings.size(), expected - 1);
  const std::string plain = options_to_toml(Options());
  EXPECT_EQ(plain.find("[view1]"), std::string::npos) << "equal views stand in [view]";
  EXPECT_NE(plain.find("\n[view]\ncrop_low = 0.08\n"), std::string::npos) << plain;
  EXPECT_NE(plain.find("\n[simclr]\ntemperature = 0.2\nhidden = 2048\n"), std::string::npos) << plain;
  EXPECT_EQ(plain.find("resume"), std::string::npos);
}

/// A program that lacks an objective, data set or encoder which a run does not use can read its file.
TEST(SavedOptions, LeaveOutDefaultsOfWhatTheRunDoesNotUse) {
  const auto saves = [](const Options& options, const std::string& line) {
    return ("\n" + options_to_toml(options)).find("\n" + line) != std::string::npos;
  };
  Options options;
  options.objective = "mrcl", options.dataset = "cifar10", options.encoder = "conv4";
  set_option(options, "mrcl.base", "byol");
  EXPECT_TRUE(saves(options, "[mrcl]"));
  EXPECT_TRUE(saves(options, "[byol]")) << "of the base";
  for (const char* line : {"[simclr]", "[dsa]", "[metamask]", "[cifar100]", "[composites]", "width =", "stem ="})
    EXPECT_FALSE(saves(options, line)) << line;
  EXPECT_TRUE(saves(options, "[lars]")) << "belongs to no component";
  options.objective = "byol";
  EXPECT_TRUE(saves(options, "[mrcl]\nbase = \"byol\"\n\n")) << "what was chosen stays, and no more";
  options.dataset = "cifar100";
  EXPECT_TRUE(saves(options, "[cifar100]"));
  options.encoder = "resnet50";
  EXPECT_TRUE(saves(options, "width = 64\n"));
}

/// The whole command line resumes a run, with what it sets in vain; a file of an earlier version has all options.
TEST(SavedOptions, OfWhatTheRunDoesNotUseAreComparedAllTheSame) {
  const Options now = parse({"--objective", "byol", "--dataset", "cifar10", "--simclr.temperature", "0.3"});
  const std::string saved = options_to_toml(now);
  EXPECT_NE(saved.find("\n[simclr]\ntemperature = 0.3\n\n"), std::string::npos) << saved;
  EXPECT_NO_THROW(require_resumable(options_from_toml(saved, "saved"), now, "c"));
  const std::string earlier = saved + "[vicreg]\nvariance = 25.0\n[cifar100]\nclasses = \"all\"\n";
  EXPECT_NO_THROW(require_resumable(options_from_toml(earlier, "saved"), now, "c"));
}

TEST(Resuming, EveryOptionCountsButTheExemptOnes) {
  const Options before;
  Options after = everything_changed();
  after.dataset = "image_folder";  // of which jpeg counts too
  std::vector<std::string> names;
  for (const OptionDifference& difference : differences(before, after)) names.push_back(difference.name);
  std::vector<std::string> expected;
  const std::vector<std::string> exempt{"out",
                                        "data",
                                        "device",
                                        "workers",
                                        "figures",
                                        "eval-every",
                                        "checkpoint-every",
                                        "max-steps",
                                        "resume",
                                        "plan",
                                        "verify",
                                        "bad-images",
                                        "recompute",
                                        "recompute-blocks",
                                        "tensorboard",
                                        "extend",
                                        "extend-schedule",
                                        "rank-timeout"};
  for (const OptionEntry& entry : option_table()) {
    const bool free = std::find(exempt.begin(), exempt.end(), entry.name) != exempt.end();
    if (!free && entry.fields.size() == 1 && !has_one_value(entry)) expected.push_back(entry.name);
  }
  EXPECT_EQ(names, expected);
}

TEST(Resuming, TheRefusalNamesOptionAndValues) {
  Options before, now;
  now.out = "elsewhere", now.workers = 7, now.max_steps = 5;
  EXPECT_NO_THROW(require_resumable(before, now, "c"));
  now.lr = 0.5;
  now.view[1].hue = 0;
  before.mean = {1, 2, 3};
  EXPECT_EQ(message_of([&] { require_resumable(before, now, "runs/x/checkpoint.safetensors"); }),
            "runs/x/checkpoint.safetensors: cannot resume with other options: lr is 0.06 there and 0.5 here, "
            "view2.hue is 0.2 there and 0 here, mean is 1,2,3 there and unset here; for the run's own give "
            "--out and --resume alone, or choose another --out");
}

TEST_F(ConfigFile, OfTheRunIsTakenByResumeAlone) {
  const std::string run = folder_ / "run";
  create_folders(run);
  std::ofstream(run + "/config.toml") << "seed = 3\nlr = 0.125\nout = \"elsewhere\"\nbatch = 32\n";
  const Options alone = parse({"--out", run.c_str(), "--resume", "--workers", "2", "--data", "here"});
  EXPECT_EQ(alone.seed, 3);
  EXPECT_EQ(alone.lr, 0.125);
  EXPECT_EQ(alone.out, run);
  EXPECT_EQ(alone.workers, 2);
  EXPECT_TRUE(alone.batch_chosen);
  const Options with_others = parse({"--out", run.c_str(), "--resume", "--seed", "4"});
  EXPECT_NE(with_others.lr, 0.125) << "what is trained comes from the command line";
  EXPECT_NE(parse({"--out", run.c_str(), "--resume", "--temperature", "0.3"}).lr, 0.125) << "under its short name, too";
  std::ofstream(run + "/config.toml", std::ios::app) << "objective = \"byol\"\n";
  const Options part = parse({"--out", run.c_str(), "--resume", "--seed", "4"});
  EXPECT_EQ(part.lr, 0.125) << "no whole command of this run: its other options are no differences";
  EXPECT_EQ(part.seed, 4) << "which the run then refuses";
  EXPECT_NE(parse({"--out", run.c_str(), "--resume", "--method", "byol"}).lr, 0.125) << "a whole command line again";
  std::ofstream(run + "/metrics.jsonl").close();
  EXPECT_NE(parse({"--out", run.c_str(), "--resume", "--seed", "4"}).lr, 0.125) << "only begun: any run may take it";
  EXPECT_EQ(parse({"--out", run.c_str(), "--resume", "--workers", "2"}).lr, 0.125);
  EXPECT_NE(parse({"--out", run.c_str()}).lr, 0.125);
  EXPECT_EQ(parse({"--out", (run + "2").c_str(), "--resume"}).seed, 1) << "nothing there: a new run";
  std::ofstream(run + "/checkpoint.safetensors").close();
  std::filesystem::remove(run + "/config.toml");
  EXPECT_EQ(complaint({"--out", run.c_str(), "--resume"}),
            run +
                "/config.toml: there is no such file, so the options of the run are unknown; expected it, or the "
                "run's whole command with --resume, and with --dataset even if that is the default");
  EXPECT_EQ(parse({"--out", run.c_str(), "--resume", "--seed", "4"}).seed, 4);
}

TEST(PretrainOptions, WithoutEffectAreNoticed) {
  const auto by = [](const char* name, const std::vector<const char*>& arguments) {
    return without_effect_by(name, parse(arguments));
  };
  EXPECT_EQ(by("momentum", {"--optimizer", "adam"}), "--optimizer adam");
  EXPECT_EQ(by("momentum", {"--optimizer", "lars"}), "");
  EXPECT_EQ(by("nesterov", {"--optimizer", "lars"}), "--optimizer lars");
  EXPECT_EQ(by("lars.eta", {"--optimizer", "sgd"}), "--optimizer sgd");
  EXPECT_EQ(by("adam.beta1", {"--optimizer", "adamw"}), "");
  EXPECT_EQ(by("step-epochs", {"--schedule", "cosine"}), "--schedule cosine");
  EXPECT_EQ(by("jpeg", {"--dataset", "cifar10"}), "--dataset cifar10");
  EXPECT_EQ(by("jpeg", {"--dataset", "imagenet"}), "");
  EXPECT_EQ(by("simclr.temperature", {"--objective", "byol"}), "--objective byol");
  EXPECT_EQ(by("simclr.temperature", {"--objective", "dsa"}), "") << "its base";
  EXPECT_EQ(by("byol.momentum", {"--objective", "dsa"}), "--objective dsa");
  EXPECT_EQ(by("confounded_shapes.confounding", {"--dataset", "cifar10"}), "--dataset cifar10");
  EXPECT_EQ(by("view1.hue", {}), "");
  EXPECT_EQ(by("zero-init-gamma", {}), "");
  EXPECT_EQ(by("zero-init-gamma", {"--init", "a.pth"}), "--init a.pth");
  EXPECT_EQ(by("width", {"--init", "a.pth"}), "");
  const Options recipe = parse({"--objective", "dsa"});
  EXPECT_EQ(recipe.applied.size(), 1u) << "nothing of the recipe's own values";
  const Options noticed = parse({"--optimizer", "adam", "--momentum", "0.5", "--lr", "0.1"});
  EXPECT_EQ(noticed.applied.back(), "notice: --momentum has no effect with --optimizer adam");
}

TEST(PretrainOptions, MeansAndDeviationsAreThoseOfPixelsFromZeroToOne) {
  const std::string rest = ", expected -10 to 10: pixels are numbers from 0 to 1, not to 255";
  EXPECT_EQ(complaint({"--mean", "125,122,113"}), "--mean: 125" + rest);
  expect_contains(complaint({"--std", "0.2,63,0.2"}), {"--std: 63, expected ", " to 10: pixels are"});
  EXPECT_EQ(parse({"--mean", "0,0.5,1", "--std", "1,1,1"}).mean.size(), 3u);
}

TEST_F(ConfigFile, OfAMovedRunIsNotResumedElsewhere) {
  const std::string moved = folder_ / "new", config = moved + "/config.toml", old = folder_ / "old";
  create_folders(moved);
  std::ofstream(config) << "out = \"" << old << "\"\n";
  const std::vector<const char*> resume{"--config", config.c_str(), "--resume"};
  EXPECT_EQ(parse(resume).out, old) << "no checkpoint lies beside it";
  std::ofstream(moved + "/checkpoint.safetensors") << "x";
  const std::string refusal = "--resume: " + config + " lies beside a checkpoint, but the run folder is " + old +
                              ": give --out " + moved + " to go on with that checkpoint, or --out " + old +
                              " if that is meant";
  EXPECT_EQ(complaint(resume), refusal);
  create_folders(old);  // a copy: which of them is meant?
  EXPECT_EQ(complaint(resume), refusal);
  for (const std::string& out : {moved, old})
    EXPECT_EQ(parse({"--config", config.c_str(), "--resume", "--out", out.c_str()}).out, out);
  EXPECT_EQ(parse({"--config", config.c_str()}).out, old) << "a new run with these options";
  std::ofstream(config) << "out = \"" << moved << "/../new/\"\n";
  EXPECT_EQ(complaint(resume), "accepted");
  std::ofstream(config) << "seed = 3\n";  // the default folder, which is another
  expect_contains(complaint(resume), {"but the run folder is runs/confounded_shapes_simclr_s3: give --out " + moved});
}

TEST(PretrainOptions, NamesAreUnique) {
  for (const OptionEntry& entry : option_table()) EXPECT_EQ(find_option(entry.name), &entry) << entry.name;
}

TEST(DatasetOfOptions, AListOfClassesIsForImageFiles) {
  Options options;
  options.classes = "imagenet100";
  for (const std::string& name : dataset_names()) {
    options.dataset = name;
    const std::string said = error_or("", [&] { dataset_settings(options); });
    if (name == "imagenet" || name == "imagenet100" || name == "image_folder")
      EXPECT_EQ(said, "");
    else
      EXPECT_EQ(said,
                "--classes: selects classes of image files (image_folder, imagenet, imagenet100), not of " + name);
  }
}

TEST(ViewsOfOptions, TakeWhatTheDataSetSaysUnlessToldOtherwise) {
  Dataset data_set;
  data_set.height = data_set.width = 48;
  data_set.mean = {0.1f, 0.2f, 0.3f};
  data_set.std = {0.4f, 0.5f, 0.6f};
  Options options;
  options.view[1].gray_p = 0.75f;
  options.view[1].interpolation = Interpolation::bilinear;
  std::vector<ViewSettings> views = view_settings(options, data_set);
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[0].size, 48);
  EXPECT_EQ(views[0].mean, data_set.mean);
  EXPECT_EQ(views[1].std, data_set.std);
  EXPECT_EQ(views[1].gray_p, 0.75f);
  EXPECT_EQ(views[0].interpolation, Interpolation::bicubic);
  EXPECT_EQ(views[1].interpolation, Interpolation::bilinear);
  options.image_size = 24;
  options.mean = {0, 0.5, 1};
  views = view_settings(options, data_set);
  EXPECT_EQ(views[1].size, 24);
  EXPECT_EQ(views[0].mean, (ChannelValues{0, 0.5f, 1}));
  EXPECT_EQ(views[0].std, data_set.std);
}

}  // namespace
}  // namespace vergence
