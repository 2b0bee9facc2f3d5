#include "ssl/report/curves.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include "ssl/report/figure_names.h"

namespace vergence {
namespace {

/// What a figure is called above its chart.
std::string chart_title(const std::string& figure) {
  static const std::array<std::pair<const char*, const char*>, 8> titles{
      {{"loss", "Loss"},
       {"lr", "Learning rate"},
       {"gradient_norm", "Length of the gradient"},
       {"std", "Deviation of unit features (0: collapsed)"},
       {"rankme", "RankMe (1: collapsed)"},
       {"knn_cosine_200", "kNN top-1 in %, k = 200, cosine"},
       {"knn_euclidean_5", "kNN top-1 in %, k = 5, Euclidean"},
       {"images_per_s", "Images per second"}}};
  for (const auto& [name, title] : titles) {
    if (figure == name) return title;
    for (const auto& [ending, words] :
         {std::pair{"_masked", ", with the mask"}, {"_recalibrated", ", statistics re-estimated"}})
      if (figure == std::string(name) + ending) return std::string(title) + words;
  }
  return figure;
}

/// Sums of values that fall into one point.
struct Bin {
  double x = 0, value = 0;
  std::int64_t count = 0;
};

/// A run's values: the means of neighboring steps, by bin.
std::map<std::int64_t, Bin> bins_of(const Series& series, double x_per_step, double bin_width) {
  std::map<std::int64_t, Bin> bins;
  for (const Series::Point& point : series.points) {
    const double x = static_cast<double>(point.step) * x_per_step;
    Bin& bin = bins[static_cast<std::int64_t>(x / bin_width - 1e-9)];
    bin.x += x;
    bin.value += point.value;
    ++bin.count;
  }
  return bins;
}

double x_per_step(const RunFiles& run, bool by_epoch) {
  return by_epoch ? 1 / static_cast<double>(run.steps_per_epoch) : 1;
}

/// The name tells kNN on some images from kNN on others.
std::string name_of(const Series& series, const RunFiles& run) {
  return series.name + judged_text(series, run.options);
}

/// Mean, smallest and largest over the group's runs.
Curve curve_of(const std::vector<RunFiles>& runs, const RunGroup& group, std::size_t color, const std::string& figure,
               bool by_epoch, double bin_width) {
  std::map<std::int64_t, std::vector<Bin>> all;
  Curve curve{group.label, color, 0, {}};
  for (std::size_t run : group.runs) {
    const std::vector<Series>& all_series = runs[run].metrics;
    const auto series = std::find_if(all_series.begin(), all_series.end(),
                                     [&](const Series& each) { return name_of(each, runs[run]) == figure; });
    if (series == all_series.end()) continue;
    ++curve.runs;
    for (const auto& [place, bin] : bins_of(*series, x_per_step(runs[run], by_epoch), bin_width))
      all[place].push_back(bin);
  }
  for (const auto& [place, bins] : all) {
    CurvePoint point{0, 0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (const Bin& bin : bins) {
      const auto count = static_cast<double>(bin.count), of = static_cast<double>(bins.size());
      point.x += bin.x / count / of;
      point.mean += bin.value / count / of;
      point.low = std::min(point.low, bin.value / count);
      point.high = std::max(point.high, bin.value / count);
    }
    curve.points.push_back(point);
  }
  return curve;
}

}  // namespace

std::vector<LineChart> charts_of(const std::vector<RunFiles>& runs, const std::vector<RunGroup>& groups) {
  std::vector<const RunFiles*> shown;
  for (const RunGroup& group : groups)
    for (std::size_t run : group.runs) shown.push_back(&runs[run]);
  std::vector<std::pair<std::string, std::string>> figures;  // names and titles
  bool by_epoch = true;
  for (const RunFiles* run : shown) {
    if (run->last_step > 0 && run->steps_per_epoch == 0) by_epoch = false;
    for (const Series& series : run->metrics) {
      const std::pair figure{name_of(series, *run), chart_title(series.name) + judged_text(series, run->options)};
      if (std::find(figures.begin(), figures.end(), figure) == figures.end()) figures.push_back(figure);
    }
  }
  double last = 0;
  for (const RunFiles* run : shown)
    if (run->last_step > 0) last = std::max(last, static_cast<double>(run->last_step) * x_per_step(*run, by_epoch));
  std::vector<LineChart> charts;
  for (const auto& [figure, title] : figures) {
    LineChart chart{figure, title, by_epoch ? "epoch" : "step", {}};
    for (std::size_t group = 0; group < groups.size(); ++group) {
      Curve curve = curve_of(runs, groups[group], group, figure, by_epoch, last / static_cast<double>(most_points));
      if (!curve.points.empty()) chart.curves.push_back(std::move(curve));
    }
    charts.push_back(std::move(chart));
  }
  return charts;
}

}  // namespace vergence
