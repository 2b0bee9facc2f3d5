// Each option that decides training does so, in a run in which no rule says that it has no effect; and where a rule
// says so, it has none. A test for options that are declared, but that nothing or something else reads.
#include <algorithm>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/io/safetensors.h"
#include "engine/text/words.h"
#include "ssl/objective_list.h"
#include "ssl/options/effects.h"
#include "ssl/options/table.h"
#include "tests/support/small_objectives.h"
#include "tests/support/small_runs.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

/// Options whose other values a small run on rendered images cannot show.
const std::set<std::string> unseen{
    "dataset",       "init-stem",                           // need files
    "eval-resize",                                          // images of other sizes
    "eval-limit",                                           // kNN
    "conv",          "weight-gradients", "record", "tune",  // a GPU
    "deterministic",                                        // also a GPU
    "jpeg",          "decode",                              // image files
};

/// A run's metrics and encoder; none if it is refused.
std::optional<std::string> outcome(Options options) {
  const TemporaryFolder folder;
  options.out = folder / "run";
  testing::internal::CaptureStdout();
  std::string text;
  try {
    pretrain(options);
    for (const nlohmann::json& line : metrics_of(folder, "run")) text += line.dump();
    const SafetensorsFile file(folder / "run/encoder.safetensors");
    for (const TensorEntry& entry : file.tensors())
      text.append(reinterpret_cast<const char*>(entry.data), static_cast<std::size_t>(entry.bytes));
  } catch (const UsageError&) {
    text.clear();
  }
  testing::internal::GetCapturedStdout();
  return text.empty() ? std::nullopt : std::optional(text);
}

struct Base {
  Options options;
  std::optional<std::string> outcome = {};
};

/// Small runs in which all options together have an effect.
std::vector<Base> bases() {
  std::vector<Base> all;
  const auto add = [&](const std::string& objective, const Switches& switches) {
    Options options = small_run(small_options(objective, 2, 16));
    options.epochs = 2;
    options.workers = 1;
    options.tensorboard = false;
    set_all(options, {"metamask.redundancy_hidden", "metamask.contrastive_hidden"}, "12");
    set_all(options, {"metamask.redundancy_output", "metamask.contrastive_output"}, "6");
    set_option(options, "dsa.eta", "3");
    set_options(options, switches);
    all.push_back({options});
  };
  for (const std::string& objective : objective_names())
    add(objective, {{"dsa.prior_net", "ema"}, {"icl_msr.every", "1"}});
  add("simclr", {{"optimizer", "adam"}, {"view.solarize_p", "0.5"}, {"warmup-epochs", "1"}});
  add("simclr", {{"optimizer", "lars"}, {"schedule", "step"}, {"step-epochs", "1"}, {"view.jitter_p", "0"}});
  add("metamask", {{"metamask.second_order", "finite_difference"}, {"metamask.mask_lr", "1000"}});
  add("icl_msr",
      {{"icl_msr.second_order", "finite_difference"}, {"icl_msr.meta_optimizer", "sgd"}, {"icl_msr.every", "1"}});
  add("mrcl", {{"mrcl.base", "byol"}});
  add("dsa", {{"dsa.prior_temperature", "fixed"}, {"dsa.prior_norm", "batch"}});
  add("dsa", {{"dsa.calibration_batches", "2"}, {"dsa.prior_net", "ema"}, {"dsa.prior_temperature", "calibrated"}});
  return all;
}

/// Other values to try, the first ones first.
std::vector<std::string> other_values(const OptionEntry& entry, const Options& options) {
  const std::string now = value_text(entry, options);
  std::vector<std::string> all;
  if (entry.is_bool()) all = {"on", "off"};
  for (const std::string& word : entry.choices) all.push_back(word);
  if (entry.is_number()) {
    const double value = number_of<double>(now).value();
    for (const double other : {0.5 * value, 2 * value, value + 1, 0.3, 0.0, 1.0, 3.0}) all.push_back(join(other));
  }
  std::erase(all, now);
  return all;
}

/// The options with another value, if that can be given.
std::optional<Options> with_value(const Base& base, const OptionEntry& entry, const std::string& value) {
  try {
    Options options = base.options;
    set_option(options, entry.name, value);
    return options;
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

bool decides_training(const OptionEntry& entry) {
  return !(entry.flags & (OptionEntry::command_line_only | OptionEntry::may_change | OptionEntry::if_set)) &&
         entry.path.empty() && (entry.is_bool() || entry.is_number() || !entry.choices.empty());
}

/// Whether one of the other values changes what is trained.
bool has_effect(Base& base, const OptionEntry& entry) {
  if (!base.outcome) base.outcome = outcome(base.options);
  EXPECT_TRUE(base.outcome) << base.options.objective;
  for (const std::string& value : other_values(entry, base.options))
    if (const std::optional<Options> changed = with_value(base, entry, value))
      if (const auto now = outcome(*changed); now && now != base.outcome) return true;
  return false;
}

TEST(OptionEffects, EachOptionHasOneUnlessARuleSaysNo) {
  std::vector<Base> runs = bases();
  int seen = 0;
  for (const OptionEntry& entry : option_table()) {
    const auto is_used = [&](const Base& run) { return unused_owner(entry.name, run.options).empty(); };
    if (!decides_training(entry) || unseen.count(entry.name) || std::none_of(runs.begin(), runs.end(), is_used))
      continue;
    bool found = false;
    for (Base& run : runs) {
      found = without_effect_by(entry.name, run.options).empty() && has_effect(run, entry);
      if (found) break;
    }
    EXPECT_TRUE(found) << entry.name;
    seen += found ? 1 : 0;
  }
  EXPECT_GT(seen, 150);
}

TEST(OptionEffects, ThereIsNoneWhereARuleSaysSo) {
  std::vector<Base> runs = bases();
  int seen = 0;
  for (const OptionEntry& entry : option_table()) {
    if (!decides_training(entry) || unseen.count(entry.name)) continue;
    for (Base& run : runs) {
      if (!unused_owner(entry.name, run.options).empty() || without_effect_by(entry.name, run.options).empty())
        continue;
      const std::vector<std::string> values = other_values(entry, run.options);
      const std::optional<Options> changed = with_value(run, entry, values.at(0));
      if (!changed) continue;
      if (!run.outcome) run.outcome = outcome(run.options);
      const std::optional<std::string> now = outcome(*changed);
      if (!now) continue;
      EXPECT_EQ(now == run.outcome, true) << entry.name << ' ' << values[0] << " of " << run.options.objective;
      ++seen;
      break;
    }
  }
  EXPECT_GT(seen, 20);
}

}  // namespace
}  // namespace vergence
