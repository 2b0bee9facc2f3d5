// Names of options as users type them: underscores for dashes, what other libraries call them, and what is suggested
// for names there are not.
#include <algorithm>
#include <fstream>
#include <gtest/gtest.h>
#include <set>

#include "engine/io/files.h"
#include "ssl/options/aliases.h"
#include "ssl/options/names.h"
#include "tests/support/complaints.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

Options parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "pretrain");
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  return parse_pretrain(static_cast<int>(pointers.size()), pointers.data());
}

std::string complaint(const std::vector<std::string>& arguments) {
  return error_or("accepted", [&] { parse(arguments); });
}

std::string value(const std::string& option, const Options& options) {
  return value_text(*find_option(option), options);
}

std::string spelled(std::string name, char from, char to) {
  std::replace(name.begin(), name.end(), from, to);
  return name;
}

TEST(OptionNames, DashesAndUnderscoresAreTheSame) {
  std::set<std::string> unified;
  for (const OptionEntry& entry : option_table()) {
    EXPECT_TRUE(unified.insert(spelled(entry.name, '-', '_')).second) << entry.name << " is spelled as another is";
    if (entry.flags & OptionEntry::command_line_only || entry.is_list()) continue;
    for (const std::string& name : {spelled(entry.name, '-', '_'), spelled(entry.name, '_', '-')})
      EXPECT_EQ(true_option_name(name, "simclr", "x", "--"), entry.name);
  }
  EXPECT_EQ(parse({"--batch_size", "64", "--eval_every=3", "--weight_decay", "0.25"}).batch, 64);
  EXPECT_EQ(parse({"--eval_every=3"}).eval_every, 3);
  EXPECT_EQ(parse({"--weight_decay", "0.25"}).weight_decay, 0.25);
  EXPECT_EQ(value("simclr.batch_norm", parse({"--simclr.batch-norm"})), "on");
}

TEST(OptionNames, OfOtherLibrariesAreTaken) {
  const Options options = parse({"--method",        "byol",     "--dataset-name", "cifar10",  "--data-dir",   "d",
                                 "--backbone",      "resnet34", "--batch-size",   "32",       "--max-epochs", "7",
                                 "--learning-rate", "0.5",      "--num-workers",  "3",        "--wd",         "0.125",
                                 "--output-dir",    "o",        "--scheduler",    "constant", "--optim",      "adamw"});
  EXPECT_EQ(options.objective, "byol");
  EXPECT_EQ(options.applied.at(0).find("cifar10/byol.toml") != std::string::npos, true) << "whose recipe applies";
  EXPECT_EQ(options.dataset, "cifar10");
  EXPECT_EQ(options.data, "d");
  EXPECT_EQ(options.encoder, "resnet34");
  EXPECT_EQ(options.batch, 32);
  EXPECT_EQ(options.epochs, 7);
  EXPECT_EQ(options.lr, 0.5);
  EXPECT_EQ(options.workers, 3);
  EXPECT_EQ(options.weight_decay, 0.125);
  EXPECT_EQ(options.out, "o");
  EXPECT_EQ(options.schedule, ScheduleKind::constant);
  EXPECT_EQ(options.optimizer, OptimizerKind::adamw);
  const std::string saved = options_to_toml(options);
  EXPECT_NE(saved.find("\nbatch = 32\n"), std::string::npos) << saved;
  EXPECT_EQ(saved.find("batch-size"), std::string::npos) << saved;
  for (const auto& [alias, option] : option_aliases()) {
    EXPECT_NE(find_option(option), nullptr) << alias;
    for (const OptionEntry& entry : option_table()) EXPECT_FALSE(same_spelling(entry.name, alias)) << alias;
  }
}

TEST(OptionNames, TheTemperatureIsThatOfTheObjective) {
  EXPECT_EQ(value("simclr.temperature", parse({"--temperature", "0.75"})), "0.75");
  const Options options = parse({"--temperature=0.75", "--objective", "metamask"});
  EXPECT_EQ(value("metamask.temperature", options), "0.75");
  EXPECT_EQ(value("simclr.temperature", options), value("simclr.temperature", parse({"--objective", "metamask"})));
  EXPECT_EQ(complaint({"--objective", "byol", "--temperature", "1"}),
            "--temperature: the objective byol has none; expected --metamask.temperature or --simclr.temperature");
  EXPECT_EQ(complaint({"--temperature", "0"}), "--temperature: expected a finite number above 0, got '0'");
  EXPECT_EQ(complaint({"--temperature", "1", "--simclr.temperature", "2"}),
            "--temperature: the same option as --simclr.temperature, and their values differ: '2' and '1'");
}

TEST(OptionNames, OneOptionHasOneValue) {
  EXPECT_EQ(complaint({"--batch-size", "64", "--batch", "128"}),
            "--batch: the same option as --batch-size, and their values differ: '64' and '128'");
  EXPECT_EQ(parse({"--batch-size", "64", "--batch", "64"}).batch, 64);
  EXPECT_EQ(complaint({"--lr", "1", "--lr", "2"}), "--lr: given twice, as '1' and '2'");
  EXPECT_EQ(complaint({"--tune", "--tune", "off"}), "--tune: given twice, as 'on' and 'off'");
}

TEST(OptionNames, AreTakenInFilesToo) {
  const Options options = options_from_toml("method = \"metamask\"\ntemperature = 0.75\nbatch_size = 16\n", "run.toml");
  EXPECT_EQ(options.objective, "metamask");
  EXPECT_EQ(options.batch, 16);
  EXPECT_EQ(value("metamask.temperature", options), "0.75");
  EXPECT_EQ(error_or("accepted", [] { options_from_toml("batch = 3\nbatch_size = 16\n", "run.toml"); }),
            "run.toml:2: batch_size: the same option as run.toml:1: batch, and their values differ: '3' and '16'");
  EXPECT_EQ(error_or("accepted", [] { options_from_toml("objective = \"byol\"\ntemperature = 1\n", "a"); }),
            "a:2: temperature: the objective byol has none; expected metamask.temperature or simclr.temperature");
  // The command line chooses the objective whose temperature a file may give.
  const TemporaryFolder folder;
  std::ofstream(folder / "c.toml") << "temperature = 0.75\n";
  EXPECT_EQ(value("metamask.temperature", parse({"--config", folder / "c.toml", "--objective", "metamask"})), "0.75");
}

TEST(OptionNames, AreNoValues) {
  const std::string out = error_or("accepted", [] { parse({"--out", "--resume"}); });
  EXPECT_EQ(out, "--out: expected a value, got the option --resume (a value that looks like this: --out=--resume)");
  EXPECT_EQ(error_or("accepted",
                     [] {
                       parse({"--config", "--max_steps=3"});
                     })
                .substr(0, 51),
            "--config: expected a value, got the option --max_st");
  EXPECT_EQ(error_or("accepted", [] { parse({"--out=", "--resume"}); }), out) << "of a variable that is not set";
  EXPECT_EQ(parse({"--out=--resume"}).out, "--resume");
  EXPECT_TRUE(parse({"--resume", "--out", "run"}).resume) << "a switch takes no value";
  EXPECT_EQ(error_or("accepted", [] { parse({"--out", "--another"}); }).substr(0, 25), "--another: unknown option");
}

TEST(OptionNames, SuggestionsAreLikely) {
  const std::vector<std::pair<std::string, std::string>> expected{
      {"bad", "--bad-images"},
      {"epohcs", "--epochs"},
      {"datset", "--dataset"},
      {"learning-rates", "--lr"},
      {"batchsize", "--batch"},
      {"temp", "--simclr.temperature"},
      {"tau", "--simclr.temperature"},
      {"crop_low", "--view.crop_low"},
      {"gpus", "--device"},
      {"redundancy_hidden", "--metamask.redundancy_hidden"},
      {"confounding", "--composites.confounding or --confounded_shapes.confounding"}};
  for (const auto& [name, meant] : expected)
    EXPECT_EQ(complaint({"--" + name, "1"}),
              "--" + name + ": unknown option, did you mean " + meant + "? (see --help)");
  EXPECT_EQ(complaint({"--xyz", "3"}), "--xyz: unknown option (see --help)") << "near to nothing";
  EXPECT_EQ(complaint({"--stt", "3"}), "--stt: unknown option, did you mean --std? (see --help)");
  EXPECT_EQ(complaint({"cifar10"}), "cifar10: unknown argument, did you mean --dataset cifar10? (see --help)");
  EXPECT_EQ(complaint({"byol"}), "byol: unknown argument, did you mean --objective byol? (see --help)");
  EXPECT_EQ(complaint({"--objective", "metamask", "--temprature", "1"}),
            "--temprature: unknown option, did you mean --metamask.temperature? (see --help)");
  EXPECT_EQ(error_or("accepted", [] { options_from_toml("bad = \"skip\"\n", "a"); }),
            "a:1: bad: unknown option, did you mean bad-images?");
  EXPECT_EQ(error_or("accepted", [] { options_from_toml("version = \"1\"\n", "a"); }).find("mean version"),
            std::string::npos)
      << "of the command line alone";
  EXPECT_EQ(complaint({"--confgi", "x"}), "--confgi: unknown option, did you mean --config? (see --help)");
}

TEST(OptionNames, EditsAreCounted) {
  EXPECT_EQ(edits_between("kitten", "sitting"), 3u);
  EXPECT_EQ(edits_between("", "abc"), 3u);
  EXPECT_EQ(edits_between("a-b", "a_b"), 0u);
  EXPECT_EQ(option_name("--lr=3"), "lr");
  EXPECT_EQ(option_name("-lr"), "");
  EXPECT_EQ(option_name("--3"), "");
  EXPECT_EQ(with_option_name("--a=b=c", "d"), "--d=b=c");
}

}  // namespace
}  // namespace vergence
