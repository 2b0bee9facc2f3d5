// Charts as inline SVG. Colors are CSS variables of the page: --c0 to --c7 for groups, --k0 to --k9 for classes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vergence {

/// The numbers of curve and class colors.
inline constexpr std::size_t curve_colors = 8, class_colors = 10;

struct CurvePoint {
  double x = 0, mean = 0, low = 0, high = 0;
};

struct Curve {
  std::string label;      // the group's
  std::size_t color = 0;  // the group's place; decides color and dashes
  std::int64_t runs = 1;  // with more than one, the band from low to high is drawn
  std::vector<CurvePoint> points;
};

struct LineChart {
  std::string figure, title, x_title;  // figure: its name, for data-figure
  std::vector<Curve> curves;
};

/// A scale from 10 or more times its median to its smallest, all above 0, is logarithmic.
bool has_log_scale(const LineChart& chart);

/// Ticks at round numbers within [low, high], about `count`.
std::vector<double> round_ticks(double low, double high, int count);

/// Each curve is a <polyline class="curve"> with data-figure and data-group; short ones also have their points.
std::string line_chart(const LineChart& chart);

/// Points in a plane, one color per class; without labels, one color.
struct MapChart {
  std::string name, x_title, y_title;
  std::vector<double> x, y;
  std::vector<std::int32_t> labels;  // one per point, or empty
  std::vector<std::string> classes;  // names by label; those past the last color share gray
  std::string split;                 // of the images
};
std::string map_chart(const MapChart& chart);

/// Bars from 0 for values in descending order.
struct BarChart {
  std::string name, x_title;
  std::vector<double> values;
};
std::string bar_chart(const BarChart& chart);

}  // namespace vergence
