#include "ssl/report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "engine/text/words.h"
#include "kernels/error.h"
#include "ssl/report/html.h"

namespace vergence {
namespace {

constexpr double left = 58, right = 12, top = 10, bottom = 40;

/// A tick's number with the digits that tell it from its neighbors.
std::string tick_text(double value, double step) {
  char text[32];
  const double size = std::max(std::abs(value), step);
  if (size >= 1e6 || size < 1e-4) {
    std::snprintf(text, sizeof text, "%.3g", value);
  } else {
    const int digits = static_cast<int>(std::ceil(-std::log10(step) - 1e-9));
    std::snprintf(text, sizeof text, "%.*f", std::clamp(digits, 0, 7), value);
  }
  return text;
}

/// A coordinate in the picture.
std::string place(double value) { return fixed_text(value, 1); }

/// Maps values to the picture along one axis.
struct Scale {
  double low = 0, high = 1, from = 0, to = 1;
  bool logarithmic = false;

  double at(double value) const {
    const auto on = [&](double v) { return logarithmic ? std::log10(v) : v; };
    return from + (to - from) * (on(value) - on(low)) / (on(high) - on(low));
  }
  struct Tick {
    double value = 0;
    std::string text;
  };
  std::vector<Tick> ticks(int count) const {
    std::vector<Tick> found;
    if (logarithmic) {
      for (double tick : powers(count))
        found.push_back({tick, tick_text(tick, std::pow(10, std::floor(std::log10(tick))))});
    } else {
      const std::vector<double> values = round_ticks(low, high, count);
      const double step = values.size() > 1 ? values[1] - values[0] : high - low;
      for (double tick : values)
        found.push_back(
            {std::abs(tick) < 1e-9 * step ? 0 : tick, tick_text(std::abs(tick) < 1e-9 * step ? 0 : tick, step)});
    }
    return found;
  }
  /// 1, 2 and 5 times powers of ten; the powers alone if those are too many.
  std::vector<double> powers(int count) const {
    std::vector<double> found;
    for (int power = static_cast<int>(std::floor(std::log10(low))); power <= std::log10(high); ++power)
      for (const double digit : {1.0, 2.0, 5.0})
        if (const double tick = digit * std::pow(10.0, power); tick >= low && tick <= high) found.push_back(tick);
    std::vector<double> whole;
    for (double tick : found)
      if (std::abs(std::log10(tick) - std::round(std::log10(tick))) < 1e-9) whole.push_back(tick);
    return found.size() > static_cast<std::size_t>(2 * count) ? whole : found;
  }
};

/// The range with a little room; of equal values, some around them.
Scale padded(double low, double high, double from, double to, bool logarithmic = false) {
  if (logarithmic) return {low / 1.1, high * 1.1, from, to, true};
  // If the values differ only in the last digits of f32, widens the range: ticks would otherwise need all digits.
  const double least = high - low > 1e-4 * std::abs(high) ? 0 : 0.01 * std::abs(high);
  const double room = std::max({0.04 * (high - low), least, 1e-9});
  return {low - room, high + room, from, to, false};
}

class Svg {
 public:
  Svg(double width, double height, const std::string& alt) : width_(width), height_(height) {
    out_ = join("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", width, " ", height,
                "\" role=\"img\" aria-label=\"", html_text(alt), "\">\n");
  }
  void add(const std::string& text) { out_ += text; }

  /// Grid lines and numbers at ticks, and the axes' titles.
  void axes(const Scale& x, const Scale& y, const std::string& x_title, const std::string& y_title = "") {
    out_ += "<g class=\"grid\">";
    for (const Scale::Tick& tick : y.ticks(5))
      out_ += join("<path d=\"M", place(left), " ", place(y.at(tick.value)), "H", place(width_ - right), "\"/>");
    out_ += "</g>\n<g class=\"axis\">";
    for (const Scale::Tick& tick : y.ticks(5))
      out_ += join("<text x=\"", place(left - 6), "\" y=\"", place(y.at(tick.value) + 4), "\" text-anchor=\"end\">",
                   tick.text, "</text>");
    for (const Scale::Tick& tick : x.ticks(6))
      out_ += join("<path d=\"M", place(x.at(tick.value)), " ", place(height_ - bottom), "v4\"/><text x=\"",
                   place(x.at(tick.value)), "\" y=\"", place(height_ - bottom + 17), "\" text-anchor=\"middle\">",
                   tick.text, "</text>");
    out_ += join("<path d=\"M", place(left), " ", place(height_ - bottom), "H", place(width_ - right), "\"/>");
    out_ += join("<text x=\"", place((left + width_ - right) / 2), "\" y=\"", place(height_ - 5),
                 "\" text-anchor=\"middle\">", html_text(x_title), "</text>");
    if (!y_title.empty())
      out_ += join("<text transform=\"translate(13 ", place((height_ - bottom + top) / 2),
                   ") rotate(-90)\" text-anchor=\"middle\">", html_text(y_title), "</text>");
    out_ += "</g>\n";
  }
  std::string text() const { return out_ + "</svg>\n"; }

 private:
  double width_, height_;
  std::string out_;
};

struct Extent {
  double low = std::numeric_limits<double>::infinity(), high = -low;

  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

void add_curve(Svg& svg, const Curve& curve, const std::string& figure, const Scale& x, const Scale& y) {
  constexpr std::size_t few = 30;  // points that are also drawn one by one
  const std::size_t color = curve.color % curve_colors;
  std::string line, upper, lower;
  for (const CurvePoint& point : curve.points) {
    const std::string at = place(x.at(point.x));
    line += join(line.empty() ? "" : " ", at, ",", place(y.at(point.mean)));
    upper += join(at, ",", place(y.at(point.high)), " ");
    lower = join(at, ",", place(y.at(point.low)), " ") + lower;
  }
  if (curve.runs > 1) {
    lower.pop_back();
    svg.add(join("<polygon class=\"band g", color, "\" points=\"", upper, lower, "\"/>\n"));
  }
  svg.add(join("<g><title>", html_text(curve.label), "</title><polyline class=\"curve g", color, "\" data-figure=\"",
               html_text(figure), "\" data-group=\"", html_text(curve.label), "\" data-runs=\"", curve.runs,
               "\" points=\"", line, "\"/></g>\n"));
  if (curve.points.size() > few) return;
  std::string dots;
  for (const CurvePoint& point : curve.points)
    dots += join("M", place(x.at(point.x)), " ", place(y.at(point.mean)), "h0");
  svg.add(join("<path class=\"dots g", color, "\" d=\"", dots, "\"/>\n"));
}

/// Names of classes at the mean of their points, as far as they do not cover one another.
void add_class_names(Svg& svg, const MapChart& chart, const Scale& x, const Scale& y, std::size_t shown) {
  struct Box {
    double x, y, width;
  };
  std::vector<Box> taken;
  svg.add("<g class=\"names\">");
  for (std::size_t label = 0; label < shown; ++label) {
    double sum_x = 0, sum_y = 0, count = 0;
    for (std::size_t i = 0; i < chart.labels.size(); ++i) {
      if (chart.labels[i] != static_cast<std::int32_t>(label)) continue;
      sum_x += x.at(chart.x[i]), sum_y += y.at(chart.y[i]), count += 1;
    }
    if (count == 0) continue;
    const Box box{sum_x / count, sum_y / count, 8.0 * static_cast<double>(chart.classes[label].size())};
    const bool covers = std::any_of(taken.begin(), taken.end(), [&](const Box& other) {
      return std::abs(other.y - box.y) < 13 && std::abs(other.x - box.x) < (other.width + box.width) / 2;
    });
    if (covers) continue;
    taken.push_back(box);
    svg.add(join("<text x=\"", place(box.x), "\" y=\"", place(box.y + 4), "\" text-anchor=\"middle\">",
                 html_text(chart.classes[label]), "</text>"));
  }
  svg.add("</g>\n");
}

}  // namespace

std::vector<double> round_ticks(double low, double high, int count) {
  std::vector<double> ticks;
  if (!(high > low)) return ticks;
  const double rough = (high - low) / count, power = std::pow(10.0, std::floor(std::log10(rough)));
  const double digit = rough / power, step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) ticks.push_back(k * step);
  return ticks;
}

bool has_log_scale(const LineChart& chart) {
  std::vector<double> values;
  for (const Curve& curve : chart.curves)
    for (const CurvePoint& point : curve.points) values.push_back(point.low), values.push_back(point.high);
  if (values.empty()) return false;
  std::sort(values.begin(), values.end());
  const double middle = values[values.size() / 2];
  return values.front() > 0 && values.back() > 10 * middle;
}

std::string line_chart(const LineChart& chart) {
  constexpr double width = 420, height = 250;
  Extent of_x, of_y;
  for (const Curve& curve : chart.curves)
    for (const CurvePoint& point : curve.points) of_x.add(point.x), of_y.add(point.low), of_y.add(point.high);
  if (of_x.low > of_x.high) return "";
  const Scale x = padded(std::min(0.0, of_x.low), of_x.high, left, width - right);
  const Scale y = padded(of_y.low, of_y.high, height - bottom, top, has_log_scale(chart));
  Svg svg(width, height, join(chart.title, " by ", chart.x_title));
  svg.axes(x, y, chart.x_title);
  for (const Curve& curve : chart.curves) add_curve(svg, curve, chart.figure, x, y);
  return svg.text();
}

std::string map_chart(const MapChart& chart) {
  constexpr double width = 420, height = 380;
  Extent of_x, of_y;
  for (double value : chart.x) of_x.add(value);
  for (double value : chart.y) of_y.add(value);
  const Scale x = padded(of_x.low, of_x.high, left, width - right);
  const Scale y = padded(of_y.low, of_y.high, height - bottom, top);
  Svg svg(width, height, join("Map of ", chart.x.size(), " ", chart.split, " images by the features of ", chart.name));
  svg.axes(x, y, chart.x_title, chart.y_title);
  const bool labeled = !chart.labels.empty();
  const std::size_t shown = labeled ? std::min(chart.classes.size(), class_colors) : 0;
  for (std::size_t color = 0; color <= shown; ++color) {  // the last: all other classes
    std::string dots;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < chart.x.size(); ++i) {
      const std::size_t own = labeled ? std::min(static_cast<std::size_t>(chart.labels[i]), shown) : 0;
      if (own != color) continue;
      dots += join("M", place(x.at(chart.x[i])), " ", place(y.at(chart.y[i])), "h0");
      ++count;
    }
    if (count == 0) continue;
    const bool named = color < shown;
    svg.add(join("<path class=\"points ",
                 named     ? join("k", color)
                 : labeled ? "others"
                           : "k0",
                 "\" data-class=\"", named ? html_text(chart.classes[color]) : "", "\" data-count=\"", count, "\" d=\"",
                 dots, "\"/>\n"));
  }
  add_class_names(svg, chart, x, y, shown);
  return svg.text();
}

std::string bar_chart(const BarChart& chart) {
  constexpr double width = 420, height = 250;
  std::vector<double> values = chart.values;
  std::sort(values.rbegin(), values.rend());
  Extent of_y;
  of_y.add(0);
  for (double value : values) of_y.add(value);
  const Scale x{0, static_cast<double>(values.size()), left, width - right, false};
  Scale y = padded(of_y.low, of_y.high, height - bottom, top);
  if (of_y.low == 0) y.low = 0;
  Svg svg(width, height, chart.name);
  svg.axes(x, y, chart.x_title);
  std::string path = join("M", place(x.at(0)), " ", place(y.at(0)));
  for (std::size_t i = 0; i < values.size(); ++i)
    path += join("V", place(y.at(values[i])), "H", place(x.at(static_cast<double>(i + 1))));
  svg.add(join("<path class=\"bars\" data-count=\"", values.size(), "\" d=\"", path, "V", place(y.at(0)), "Z\"/>\n"));
  return svg.text();
}

}  // namespace vergence
