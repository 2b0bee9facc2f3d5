#include "ssl/report/groups.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "datasets/registry.h"
#include "engine/text/printable.h"
#include "kernels/error.h"
#include "ssl/options/effects.h"
#include "ssl/options/table.h"

namespace vergence {
namespace {

/// Whether both runs trained on the user's own images, of different folders.
bool other_images(const Options& first, const Options& second) {
  return first.dataset == second.dataset && is_of_own_images(first.dataset) &&
         !same_input(*find_option("data"), first.data, second.data);
}

/// The options that differ, but for the seed.
std::vector<std::string> differing(const Options& first, const Options& second) {
  std::vector<std::string> names;
  if (other_images(first, second)) names.emplace_back("data");
  // Compares values, not texts: in a build without libjpeg-turbo, both print as stb.
  if (is_of_image_files(first.dataset) && first.jpeg != second.jpeg) names.emplace_back("jpeg");
  for (const OptionDifference& each : differences(first, second))
    if (each.name != "seed") names.push_back(each.name);
  return names;
}

/// Rows of every option in which some group differs from the first, in the order of the table.
std::vector<OptionRow> rows_of(const std::vector<RunFiles>& runs, const std::vector<RunGroup>& groups) {
  std::set<std::string> names;
  const Options& first = runs[groups[0].runs[0]].options;
  for (const RunGroup& group : groups)
    for (const std::string& name : differing(first, runs[group.runs[0]].options)) names.insert(name);
  std::vector<OptionRow> rows;
  for (const OptionEntry& entry : option_table()) {
    if (!names.contains(entry.name)) continue;
    OptionRow row{entry.name, {}};
    for (const RunGroup& group : groups) {
      const Options& options = runs[group.runs[0]].options;
      const std::string value = value_text(entry, options);
      row.values.push_back(!without_effect_by(entry.name, options).empty() ? "" : value.empty() ? "unset" : value);
    }
    rows.push_back(row);
  }
  return rows;
}

/// Whether a row has two different values, groups without the option aside.
bool tells_apart(const OptionRow& row) {
  std::set<std::string> values(row.values.begin(), row.values.end());
  values.erase("");
  return values.size() > 1;
}

/// Gives options without effect on any group their values: they tell groups apart that nothing else does.
void show_idle(std::vector<OptionRow>& rows, const std::vector<RunFiles>& runs, const std::vector<RunGroup>& groups) {
  for (OptionRow& row : rows) {
    if (std::any_of(row.values.begin(), row.values.end(), [](const std::string& value) { return !value.empty(); }))
      continue;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      const std::string value = option_text(runs[groups[i].runs[0]].options, row.name);
      row.values[i] = value.empty() ? "unset" : value;
    }
  }
}

/// One row for an option of both views where the groups' two values agree.
void join_views(std::vector<OptionRow>& rows) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].name.starts_with("view1.")) continue;
    const std::string key = rows[i].name.substr(5);
    const auto other = std::find_if(rows.begin(), rows.end(), [&](const OptionRow& row) {
      return row.name == "view2" + key && row.values == rows[i].values;
    });
    if (other == rows.end()) continue;
    rows[i].name = "view" + key;
    rows.erase(other);
  }
}

std::size_t distinct(const std::vector<std::string>& labels) {
  return std::set<std::string>(labels.begin(), labels.end()).size();
}

/// Whether these rows suffice to tell any two groups apart.
bool tell_all_apart(const std::vector<OptionRow>& rows, std::size_t groups) {
  std::vector<std::string> values(groups);
  for (const OptionRow& row : rows)
    for (std::size_t i = 0; i < groups; ++i) values[i] += row.values[i] + "\n";
  return distinct(values) == groups;
}

/// Labels: the objective, then as few other values as are needed.
void label(std::vector<RunGroup>& groups, const std::vector<OptionRow>& rows, const std::vector<RunFiles>& runs) {
  std::vector<std::string> labels;
  for (const RunGroup& group : groups) labels.push_back(runs[group.runs[0]].options.objective);
  for (const OptionRow& row : rows) {
    if (distinct(labels) == groups.size()) break;
    std::vector<std::string> longer = labels;
    for (std::size_t i = 0; i < groups.size(); ++i)
      if (!row.values[i].empty()) longer[i] += ", " + row.name + " " + shortened(row.values[i], 20);
    if (distinct(longer) > distinct(labels)) labels = longer;
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const bool taken = std::count(labels.begin(), labels.end(), labels[i]) > 1;
    groups[i].label = taken ? join(labels[i], " (", i + 1, ")") : labels[i];
  }
}

/// Leaves unfinished runs out where the group has finished ones.
void leave_out_unfinished(RunGroup& group, const std::vector<RunFiles>& runs) {
  const auto unfinished = std::stable_partition(group.runs.begin(), group.runs.end(),
                                                [&](std::size_t run) { return runs[run].unfinished.empty(); });
  if (unfinished == group.runs.begin()) return;
  group.left_out.assign(unfinished, group.runs.end());
  group.runs.erase(unfinished, group.runs.end());
}

/// Whether the group may have this run as another sample: the same options, and another seed than its runs. A run that
/// is unfinished does not stand in the way of a finished one.
bool takes(const RunGroup& group, const RunFiles& run, const std::vector<RunFiles>& runs) {
  return differing(runs[group.runs[0]].options, run.options).empty() &&
         std::none_of(group.runs.begin(), group.runs.end(), [&](std::size_t other) {
           return runs[other].options.seed == run.options.seed &&
                  runs[other].unfinished.empty() == run.unfinished.empty();
         });
}

}  // namespace

Grouping group_runs(const std::vector<RunFiles>& runs) {
  Grouping found;
  if (runs.empty()) return found;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const auto same = std::find_if(found.groups.begin(), found.groups.end(),
                                   [&](const RunGroup& group) { return takes(group, runs[i], runs); });
    if (same == found.groups.end())
      found.groups.push_back({{i}, ""});
    else
      same->runs.push_back(i);
  }
  for (RunGroup& group : found.groups) {
    std::stable_sort(group.runs.begin(), group.runs.end(),
                     [&](std::size_t a, std::size_t b) { return runs[a].options.seed < runs[b].options.seed; });
    leave_out_unfinished(group, runs);
  }
  const std::vector<OptionRow> all = rows_of(runs, found.groups);
  found.options = all;
  std::erase_if(found.options, [](const OptionRow& row) { return !tells_apart(row); });
  if (!tell_all_apart(found.options, found.groups.size())) {
    found.options = all;
    show_idle(found.options, runs, found.groups);
  }
  join_views(found.options);
  label(found.groups, found.options, runs);
  return found;
}

std::vector<RunFiles> read_runs(const std::vector<std::string>& paths) {
  std::vector<RunFiles> runs;
  for (const std::string& path : paths) {
    for (const RunFiles& before : runs) {
      std::error_code error;
      require_usage(!std::filesystem::equivalent(before.path, path, error), path, ": given twice");
    }
    runs.push_back(read_run(path));
  }
  // Folders of one name go by their paths.
  std::vector<std::string> names;
  for (const RunFiles& run : runs) names.push_back(run.name);
  for (RunFiles& run : runs)
    if (std::count(names.begin(), names.end(), run.name) > 1) run.name = run.path;
  return runs;
}

}  // namespace vergence
