// Options that do nothing beside others: what the objectives declare, and whether the declarations can be.
#include "ssl/options/effects.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ssl/options/table.h"

namespace vergence {
namespace {

TEST(EffectRules, OfTheObjectives) {
  using Given = std::vector<std::pair<std::string, std::string>>;
  const auto by = [](const std::string& name, const Given& given) {
    Options options;
    options.objective = name.substr(0, name.find('.'));
    for (const auto& [option, value] : given) set_option(options, option, value);
    return without_effect_by(name, options);
  };
  EXPECT_EQ(by("dsa.prior_norm", {}), "") << "as the preset chooses";
  EXPECT_EQ(by("dsa.prior_norm", {{"dsa.prior_net", "ema"}}), "--dsa.prior_net ema");
  EXPECT_EQ(by("dsa.prior_momentum", {{"dsa.prior_net", "ema"}}), "");
  EXPECT_EQ(by("dsa.prior_momentum", {}), "--dsa.prior_net preset");
  EXPECT_EQ(by("dsa.stage1_epochs", {{"dsa.prior_file", "x"}}), "--dsa.prior_file x");
  EXPECT_EQ(by("dsa.stage1_epochs", {{"dsa.prior_net", "stage1"}}), "");
  EXPECT_EQ(by("dsa.tau_p", {{"dsa.prior_temperature", "running"}}), "--dsa.prior_temperature running");
  EXPECT_EQ(by("dsa.quantile", {{"dsa.prior_temperature", "running"}}), "");
  EXPECT_EQ(by("dsa.mu", {{"dsa.score", "ones"}}), "--dsa.score ones");
  EXPECT_EQ(by("dsa.warmup", {{"dsa.lambda1", "0"}}), "--dsa.lambda1 0");
  EXPECT_EQ(by("metamask.mask_lr", {{"metamask.meta", "off"}}), "--metamask.meta off");
  EXPECT_EQ(by("metamask.temperature", {{"metamask.meta", "off"}}), "");
  EXPECT_EQ(by("metamask.radius", {}), "--metamask.second_order exact and --metamask.compare off");
  EXPECT_EQ(by("metamask.radius", {{"metamask.compare", "on"}}), "");
  EXPECT_EQ(by("metamask.radius", {{"metamask.second_order", "finite_difference"}}), "");
  EXPECT_EQ(by("icl_msr.meta_momentum", {}), "--icl_msr.meta_optimizer adam");
  EXPECT_EQ(by("icl_msr.every", {{"icl_msr.train", "fixed"}}), "--icl_msr.train fixed");
  EXPECT_EQ(by("icl_msr.every", {{"icl_msr.train", "ordinary"}}), "");
  EXPECT_EQ(by("icl_msr.outer_views", {{"icl_msr.train", "ordinary"}}), "--icl_msr.train ordinary");
  EXPECT_EQ(by("mrcl.decoder_width", {{"mrcl.alpha", "0"}}), "--mrcl.alpha 0");
  EXPECT_EQ(by("mrcl.mask_fill", {{"mrcl.mask_ratio", "0"}}), "--mrcl.mask_ratio 0");
  EXPECT_EQ(by("mrcl.mask_fill", {}), "");
}

TEST(EffectRules, OfAugmentationsThatNeverHappen) {
  Options options;
  set_option(options, "view1.solarize_p", "0");
  set_option(options, "view2.solarize_p", "0.2");
  EXPECT_EQ(without_effect_by("view1.solarize_threshold", options), "--view1.solarize_p 0");
  EXPECT_EQ(without_effect_by("view2.solarize_threshold", options), "");
  EXPECT_EQ(without_effect_by("view.solarize_threshold", options), "") << "on one of them";
  set_option(options, "view.jitter_p", "0");
  EXPECT_EQ(without_effect_by("view.hue", options), "--view1.jitter_p 0 and --view2.jitter_p 0");
}

TEST(EffectRules, OptionsOfOtherEncodersDoNothing) {
  Options options;
  EXPECT_EQ(without_effect_by("width", options), "");
  options.encoder = "conv4";
  EXPECT_EQ(without_effect_by("width", options), "--encoder conv4");
  EXPECT_EQ(without_effect_by("lr", options), "");
}

TEST(EffectRules, OptionsOfADataSetConcernAllNamesOfItsFile) {
  Options options;
  options.dataset = "cifar10";
  EXPECT_EQ(without_effect_by("cifar100.classes", options), "--dataset cifar10");
  EXPECT_EQ(without_effect_by("image_folder.an_option", options), "--dataset cifar10");
  options.dataset = "imagenet";
  EXPECT_EQ(without_effect_by("image_folder.an_option", options), "");
}

TEST(EffectRules, OptionsOfTheBaseMethodHaveAnEffect) {
  Options options;
  options.objective = "dsa";
  set_option(options, "dsa.base", "byol");
  EXPECT_EQ(without_effect_by("byol.momentum", options), "");
  EXPECT_EQ(without_effect_by("simclr.temperature", options), "--objective dsa");
}

/// Adds to `found` the options that decide, themselves or through others, whether `name` has an effect.
void deciding(const std::string& name, std::set<std::string>& found) {
  for (const EffectRule& rule : effect_rules()) {
    if (std::find(rule.names.begin(), rule.names.end(), name) == rule.names.end()) continue;
    for (const OptionValues& condition : rule.conditions)
      if (found.insert(condition.option).second) deciding(condition.option, found);
  }
}

TEST(EffectRules, NameOptionsAndValuesThatThereAre) {
  for (const EffectRule& rule : effect_rules()) {
    EXPECT_FALSE(rule.conditions.empty());
    for (const OptionValues& condition : rule.conditions)
      for (const std::string& value : condition.values) {
        Options options;
        EXPECT_NO_THROW(set_option(options, condition.option, value)) << condition.option;
        EXPECT_EQ(option_text(options, condition.option), value) << condition.option;
      }
    for (const std::string& name : rule.names) {
      if (!name.ends_with('.')) {
        EXPECT_NE(find_option(name), nullptr) << name;
      }
    }
  }
}

TEST(EffectRules, LetNoOptionDecideAboutItself) {
  for (const OptionEntry& entry : option_table()) {
    std::set<std::string> found;
    deciding(entry.name, found);
    EXPECT_FALSE(found.contains(entry.name)) << entry.name;
  }
}

}  // namespace
}  // namespace vergence
