#include "ssl/report/comparison.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "engine/text/words.h"
#include "kernels/error.h"
#include "ssl/report/figure_names.h"

namespace vergence {
namespace {

/// What must agree for two results to be about the same thing.
struct Key {
  std::string tool, protocol, judged_on, split, encoder;
  bool untrained = false;
  std::map<std::string, std::string> settings;

  auto operator<=>(const Key&) const = default;
  /// The same without the settings, whose differences are shown.
  bool like(const Key& other) const {
    return tool == other.tool && protocol == other.protocol && judged_on == other.judged_on && split == other.split &&
           encoder == other.encoder && untrained == other.untrained;
  }
};

Key key_of(const Result& result) {
  return {result.tool,    result.protocol,  result.judged_on, result.split,
          result.encoder, result.untrained, result.settings};
}

/// The figures of one run in one section.
struct Measured {
  std::optional<std::int64_t> epoch;
  std::vector<std::pair<std::string, double>> figures;

  std::optional<double> value(const std::string& name) const {
    for (const auto& [known, number] : figures)
      if (known == name) return number;
    return std::nullopt;
  }
};

/// The latest result with this key. Earlier ones of the same encoder add the figures that it did not ask for.
std::optional<Measured> latest(const RunFiles& run, const Key& key) {
  std::optional<Measured> found;
  std::int64_t step = 0;
  for (auto result = run.results.rbegin(); result != run.results.rend(); ++result) {
    if (key_of(*result) != key) continue;
    if (!found) {
      found = Measured{result->epoch, result->figures};
      step = result->step;
    } else if (result->step == step && result->epoch == found->epoch) {
      for (const auto& [name, number] : result->figures)
        if (!found->value(name)) found->figures.emplace_back(name, number);
    }
  }
  return found;
}

/// Of the figures of training, those with a row: kNN's, or the others.
bool is_shown(const std::string& name, bool knn) {
  if (knn || is_online_knn(name)) return knn && is_online_knn(name);
  return name == "loss" || name == "std" || name == "rankme" || name == "images_per_s";
}

/// The last values of training: kNN's, or its loss and what else is measured now and then. Older ones than the last
/// step name their epoch. None without any.
std::optional<Measured> training_figures(const RunFiles& run, bool knn) {
  Measured found;
  if (run.last_step > 0) found.epoch = run.last_epoch;
  for (const Series& series : run.metrics) {
    if (!is_shown(series.name, knn)) continue;
    const Series::Point& last = series.points.back();
    std::string name = series.name + judged_text(series, run.options);
    if (const std::int64_t epoch = run.epoch_of(last.step); epoch < run.last_epoch) name += join(", epoch ", epoch);
    found.figures.emplace_back(name, last.value);
  }
  return found.figures.empty() ? std::nullopt : std::optional(found);
}

/// "10", or all different ones.
std::string epochs_text(const std::vector<const Measured*>& runs) {
  std::set<std::int64_t> epochs;
  for (const Measured* run : runs)
    if (run->epoch) epochs.insert(*run->epoch);
  std::vector<std::string> texts;
  for (std::int64_t epoch : epochs) texts.push_back(std::to_string(epoch));
  return listed(texts);
}

/// Fills in epochs and figures. `measured`: one per run; none for a run without this result.
void fill(Section& section, const std::vector<std::optional<Measured>>& measured, const Grouping& grouping) {
  std::vector<std::string> names;
  for (const std::optional<Measured>& run : measured)
    if (run)
      for (const auto& [name, number] : run->figures)
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  for (const std::string& name : names) section.figures.push_back({name, {}});
  for (const RunGroup& group : grouping.groups) {
    std::vector<const Measured*> runs;
    for (std::size_t run : group.runs)
      if (measured[run]) runs.push_back(&*measured[run]);
    section.epochs.push_back(epochs_text(runs));
    for (Figure& figure : section.figures) {
      std::vector<double> values;
      for (const Measured* run : runs)
        if (const std::optional<double> value = run->value(figure.name)) values.push_back(*value);
      figure.values.push_back(spread_of(values));
    }
  }
}

/// What is said of a result besides its settings.
std::vector<std::string> peculiarities(const Key& key) {
  std::vector<std::string> parts;
  if (key.untrained) parts.push_back("untrained");
  if (key.encoder != "encoder.safetensors" && !key.encoder.empty()) parts.push_back(key.encoder);
  return parts;
}

std::string setting_text(const Key& key, const std::string& name) {
  if (!key.settings.contains(name)) return "no " + name;
  const std::string& value = key.settings.at(name);
  return name + " " + value + (name == "labels" && value != "null" ? " %" : "");
}

/// Whether the setting says that not all images were judged, or which labels were learned from.
bool limits_figures(const std::string& name, const std::string& value) {
  if (name == "limit") return value != "0";
  return (name == "labels" || name == "fold") && value != "null";
}

/// The names of the settings in which two keys differ; test_images only if it is the only one.
std::set<std::string> differing_settings(const Key& key, const Key& other) {
  std::set<std::string> names;
  for (const auto& [name, value] : other.settings)
    if (!key.settings.contains(name) || key.settings.at(name) != value) names.insert(name);
  for (const auto& [name, value] : key.settings)
    if (!other.settings.contains(name)) names.insert(name);
  if (names.size() > 1) names.erase("test_images");
  return names;
}

/// The settings that limit the figures, and those in which a key differs from like ones.
std::string settings_text(const Key& key, const std::vector<Key>& keys) {
  std::set<std::string> names;
  for (const auto& [name, value] : key.settings)
    if (limits_figures(name, value)) names.insert(name);
  for (const Key& other : keys)
    if (key.like(other)) names.merge(differing_settings(key, other));
  std::vector<std::string> parts = peculiarities(key);
  for (const std::string& name : names) {
    // Of labels and fold, the other one is null.
    const bool other_one = (name == "labels" || name == "fold") && key.settings.contains(name) &&
                           !limits_figures(name, key.settings.at(name));
    if (!other_one) parts.push_back(setting_text(key, name));
  }
  return listed(parts);
}

/// Values have commas of their own.
std::string all_settings_text(const Key& key) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  for (const std::string& part : peculiarities(key)) add(part);
  for (const auto& [name, value] : key.settings) add(name + " " + value);
  return text;
}

/// The runs in the figures, in their places; null for those left out.
std::vector<const RunFiles*> counted_runs(const std::vector<RunFiles>& runs, const Grouping& grouping) {
  std::vector<const RunFiles*> counted(runs.size(), nullptr);
  for (const RunGroup& group : grouping.groups)
    for (std::size_t run : group.runs) counted[run] = &runs[run];
  return counted;
}

std::vector<Section> result_sections(const std::vector<const RunFiles*>& runs, const Grouping& grouping) {
  std::vector<Key> keys;
  for (const RunFiles* run : runs) {
    if (!run) continue;
    for (const Result& result : run->results)
      if (std::find(keys.begin(), keys.end(), key_of(result)) == keys.end()) keys.push_back(key_of(result));
  }
  std::sort(keys.begin(), keys.end());
  std::vector<Section> sections;
  for (const Key& key : keys) {
    Section section{
        key.tool, key.protocol, key.judged_on, key.split, settings_text(key, keys), all_settings_text(key), {}, {}};
    std::vector<std::optional<Measured>> measured;
    for (const RunFiles* run : runs) measured.push_back(run ? latest(*run, key) : std::nullopt);
    fill(section, measured, grouping);
    if (!section.figures.empty()) sections.push_back(std::move(section));
  }
  return sections;
}

/// The figures of training images, without a split; or kNN's, of the split test.
Section training_section(const std::vector<const RunFiles*>& runs, const Grouping& grouping, bool knn) {
  std::set<std::string> data_sets;
  std::vector<std::optional<Measured>> measured;
  for (const RunFiles* run : runs) {
    measured.push_back(run ? training_figures(*run, knn) : std::nullopt);
    if (measured.back()) data_sets.insert(run->options.dataset);
  }
  Section section{"pretrain", "", data_sets.size() == 1 ? *data_sets.begin() : "", knn ? "test" : "", "", "", {}, {}};
  fill(section, measured, grouping);
  return section;
}

/// The unfinished runs of a group. A group of several names their seeds.
std::string state_of(const RunGroup& group, const std::vector<RunFiles>& runs) {
  std::vector<std::size_t> unfinished = group.left_out;
  for (std::size_t run : group.runs)
    if (!runs[run].unfinished.empty()) unfinished.push_back(run);
  const bool several = group.runs.size() + group.left_out.size() > 1;
  std::string text;
  for (std::size_t run : unfinished)
    text += (text.empty() ? "" : "; ") + (several ? join("seed ", runs[run].options.seed, ": ") : "") +
            runs[run].unfinished;
  if (text.empty()) return "";
  return (group.left_out.empty() ? "unfinished: " : "unfinished, left out: ") + text;
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  Spread spread{static_cast<std::int64_t>(values.size()), 0, 0};
  if (values.empty()) return spread;
  for (double value : values) spread.mean += value / static_cast<double>(values.size());
  if (values.size() == 1) return spread;
  double squares = 0;
  for (double value : values) squares += (value - spread.mean) * (value - spread.mean);
  spread.sd = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return spread;
}

std::string Section::title() const {
  std::string text = tool;
  if (!protocol.empty() && protocol != tool) text += " " + protocol;
  if (!judged_on.empty()) text += " on " + judged_on;
  if (!split.empty()) text += " " + split;
  if (!settings.empty()) text += " (" + settings + ")";
  return text;
}

Comparison compare_runs(const std::vector<RunFiles>& runs) {
  Comparison found;
  found.grouping = group_runs(runs);
  for (const RunGroup& group : found.grouping.groups) {
    std::vector<std::string> names, seeds;
    for (std::size_t run : group.runs) {
      names.push_back(runs[run].name);
      seeds.push_back(std::to_string(runs[run].options.seed));
    }
    found.run_names.push_back(listed(names));
    found.seeds.push_back(listed(seeds));
    found.states.push_back(state_of(group, runs));
    for (std::size_t run : group.left_out)
      found.notices.push_back(join(runs[run].path, ": left out of the figures, since it is unfinished (",
                                   runs[run].unfinished, ") and other runs of its group are finished"));
  }
  const std::vector<const RunFiles*> counted = counted_runs(runs, found.grouping);
  for (const bool knn : {false, true}) {
    Section training = training_section(counted, found.grouping, knn);
    if (!training.figures.empty()) found.sections.push_back(std::move(training));
  }
  for (Section& section : result_sections(counted, found.grouping)) found.sections.push_back(std::move(section));
  return found;
}

}  // namespace vergence
