// Groups runs that differ only in their seed, and says in which options the groups differ.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ssl/report/run_files.h"

namespace vergence {

struct RunGroup {
  std::vector<std::size_t> runs;           // places in the list of runs, by seed
  std::string label;                       // short, and different for each group
  std::vector<std::size_t> left_out = {};  // unfinished runs beside finished ones, by seed: in no figure
};

/// An option that differs, with each group's value; empty where the option has no effect, unless it has none on any
/// group and nothing else tells two groups apart.
struct OptionRow {
  std::string name;
  std::vector<std::string> values;
};

struct Grouping {
  std::vector<RunGroup> groups;  // in the order of their first runs
  std::vector<OptionRow> options;
};

/// Runs belong together if they differ only in the seed and in options that a resumed run may change. Runs on images of
/// the user's own must also have the same folder. An option of an objective that a group does not use has no value
/// there, and a row needs two different values. Unfinished runs of a group that has finished ones are left out. A
/// second run with the same options and seed is no new sample, so it starts another group.
Grouping group_runs(const std::vector<RunFiles>& runs);

/// Reads the runs of these folders. Throws UsageError like read_run, and for a folder given twice.
std::vector<RunFiles> read_runs(const std::vector<std::string>& paths);

}  // namespace vergence
