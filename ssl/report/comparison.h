// The final figures of several runs beside each other: one column for each group, mean and deviation over its seeds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ssl/report/groups.h"

namespace vergence {

/// Some runs' values of one figure.
struct Spread {
  std::int64_t count = 0;
  double mean = 0;
  double sd = 0;  // of the sample (divisor count - 1); 0 for a single value
};

/// Mean and sample deviation. No value: count 0.
Spread spread_of(const std::vector<double>& values);

struct Figure {
  std::string name;
  std::vector<Spread> values;  // one per group
};

/// The figures of one way to judge, or those of training itself.
struct Section {
  std::string tool, protocol, judged_on, split;
  /// What a reader must know: that fewer images were judged or labels learned from than there are, and the settings
  /// that tell it apart from like ones: "labels 10 %, limit 500". Empty for results on all images.
  std::string settings;
  std::string all_settings;  // those that affect a figure: "limit 500; train_limit 5000"; none for training itself
  std::vector<std::string> epochs;  // of the judged encoders, one per group: "10", or "8, 10" if seeds differ
  std::vector<Figure> figures;

  /// "linear_probe lbfgs on cifar10 test (limit 500)".
  std::string title() const;
};

struct Comparison {
  Grouping grouping;
  std::vector<std::string> run_names;  // per group: "a, b"
  std::vector<std::string> seeds;      // per group: "1, 2"
  std::vector<std::string> states;     // per group: its unfinished runs; "" if there are none
  std::vector<std::string> notices;    // about runs that are left out
  std::vector<Section> sections;
};

/// Of each run the last training figures, and of its results the latest for each tool, protocol, data set, split and
/// settings. Names, seeds and figures leave unfinished runs out where their group has finished ones. Throws UsageError
/// like group_runs.
Comparison compare_runs(const std::vector<RunFiles>& runs);

}  // namespace vergence
