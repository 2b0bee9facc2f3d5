#include "ssl/options/aliases.h"

#include <algorithm>

#include "engine/text/words.h"
#include "ssl/options/names.h"

namespace vergence {
namespace {

/// Names from other programs that are no aliases, as their values differ, and the options they suggest.
const std::vector<std::pair<std::string, std::string>> hints{
    {"tau", "temperature"},
    {"gpu", "device"},
    {"gpus", "device"},
    {"cuda", "device"},
    {"accelerator", "device"},
    {"amp", "precision"},
    {"fp16", "precision"},
    {"warmup", "warmup-epochs"},
    {"checkpoint", "resume"},
    {"ckpt", "resume"},
    {"model", "encoder"},
    {"root", "data"},
    {"path", "data"},
    {"name", "out"},
    {"ckpt_path", "resume"},
    {"resume_from_checkpoint", "resume"},
    {"accumulate-grad-batches", "micro-batch"},
};

/// The table's name that differs at most in dashes and underscores; empty: none.
std::string spelled_option(const std::string& name) {
  if (find_option(name)) return name;
  for (const OptionEntry& entry : option_table())
    if (same_spelling(entry.name, name)) return entry.name;
  return "";
}

std::string in_pairs(const std::vector<std::pair<std::string, std::string>>& pairs, const std::string& name) {
  for (const auto& [first, second] : pairs)
    if (same_spelling(first, name)) return second;
  return "";
}

/// Options whose last part is `part`.
std::vector<std::string> options_ending(const std::string& part) {
  std::vector<std::string> found;
  for (const OptionEntry& entry : option_table())
    if (entry.name.ends_with("." + part)) found.push_back(entry.name);
  return found;
}

/// Replaces aliases by their options, each once.
std::vector<std::string> resolved(const std::vector<std::string>& names, const std::string& objective) {
  std::vector<std::string> result;
  for (const std::string& name : names) {
    const std::string option = in_pairs(option_aliases(), name);
    std::vector<std::string> meant{option.empty() ? name : option};
    if (name == objectives_temperature) {
      const std::string own = objective + "." + name;
      meant = find_option(own) ? std::vector<std::string>{own} : options_ending(name);
    }
    for (const std::string& one : meant)
      if (std::find(result.begin(), result.end(), one) == result.end()) result.push_back(one);
  }
  return result;
}

std::vector<std::string> suggestions(const std::string& name, const std::string& objective, bool in_file) {
  if (const std::string hint = in_pairs(hints, name); !hint.empty()) return resolved({hint}, objective);
  std::vector<std::string> known{objectives_temperature};
  if (!in_file) known.insert(known.end(), {"config", "help", "recipes", "version"});
  for (const OptionEntry& entry : option_table())
    if (entry.both.empty()) known.push_back(entry.name);
  for (const auto& [alias, option] : option_aliases()) known.push_back(alias);
  return resolved(names_like(name, known), objective);
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& option_aliases() {
  static const std::vector<std::pair<std::string, std::string>> aliases{
      {"batch-size", "batch"},
      {"learning-rate", "lr"},
      {"wd", "weight-decay"},
      {"max-epochs", "epochs"},
      {"num-epochs", "epochs"},
      {"num-workers", "workers"},
      {"data-dir", "data"},
      {"data-path", "data"},
      {"train-data-path", "data"},
      {"dataset-name", "dataset"},
      {"method", "objective"},
      {"backbone", "encoder"},
      {"arch", "encoder"},
      {"pretrained", "init"},
      {"weights", "init"},
      {"optimiser", "optimizer"},
      {"optim", "optimizer"},
      {"scheduler", "schedule"},
      {"output-dir", "out"},
      {"checkpoint-dir", "out"},
      {"img-size", "image-size"},
      {"random-seed", "seed"},
      // The spellings of earlier versions.
      {"capture", "record"},
      {"view.grey_p", "view.gray_p"},
      {"view1.grey_p", "view1.gray_p"},
      {"view2.grey_p", "view2.gray_p"},
      {"view.solarise_p", "view.solarize_p"},
      {"view1.solarise_p", "view1.solarize_p"},
      {"view2.solarise_p", "view2.solarize_p"},
      {"view.solarise_threshold", "view.solarize_threshold"},
      {"view1.solarise_threshold", "view1.solarize_threshold"},
      {"view2.solarise_threshold", "view2.solarize_threshold"}};
  return aliases;
}

bool is_option_name(const std::string& name) {
  return !spelled_option(name).empty() || !in_pairs(option_aliases(), name).empty() ||
         same_spelling(name, objectives_temperature);
}

std::string true_option_name(const std::string& name, const std::string& objective, const std::string& where,
                             const char* dashes, const char* more) {
  if (std::string option = spelled_option(name); !option.empty()) return option;
  if (std::string option = in_pairs(option_aliases(), name); !option.empty()) return option;
  if (same_spelling(name, objectives_temperature)) {
    std::string option = objective + "." + objectives_temperature;
    if (find_option(option)) return option;
    std::vector<std::string> others;
    for (const std::string& other : options_ending(objectives_temperature)) others.push_back(dashes + other);
    throw UsageError(join(where, ": the objective ", objective, " has none; expected ", alternatives(others), more));
  }
  throw UsageError(
      join(where, ": unknown option", did_you_mean(suggestions(name, objective, *dashes == 0), dashes), more));
}

}  // namespace vergence
