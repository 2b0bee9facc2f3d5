// The curves of metrics.jsonl, one chart for each figure with one curve for each group of runs.
#pragma once

#include <vector>

#include "ssl/report/groups.h"
#include "ssl/report/svg_chart.h"

namespace vergence {

/// The most points of a curve. Of longer ones, neighboring steps are one point, their mean.
inline constexpr std::int64_t most_points = 300;

/// Charts in the order of the first run's figures; kNN that was measured on other images has a chart of its own. A
/// curve is the mean over the group's runs that have the step; low and high are the smallest and largest of them. x is
/// the epoch, or the step if some run has not ended an epoch.
std::vector<LineChart> charts_of(const std::vector<RunFiles>& runs, const std::vector<RunGroup>& groups);

}  // namespace vergence
