// The pieces of a report: HTML, pictures, charts, curves and the map.
#include <cmath>
#include <gtest/gtest.h>

#include "ssl/report/curves.h"
#include "ssl/report/html.h"
#include "ssl/report/map.h"

namespace vergence {
namespace {

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Html, EscapesWhateverFilesSay) {
  EXPECT_EQ(html_text("<b title=\"a\">'&'</b>"), "&lt;b title=&quot;a&quot;&gt;&#39;&amp;&#39;&lt;/b&gt;");
  EXPECT_EQ(html_text("a\nb\xff"), "a\\x0ab\\xff");
  const Table table{{"<i>"}, {{"a & b", {"\"c\""}}, {"<script>", {}}}};
  const std::string text = html_table(table, "<caption>");
  for (const char* bad : {"<i>", "<script>", "<caption>", "a & b", "\"c\""})
    EXPECT_EQ(text.find(bad), std::string::npos) << bad;
  EXPECT_NE(text.find("&lt;script&gt;"), std::string::npos);
  EXPECT_NE(html_image("", "\"><script>").find("alt=\"&quot;&gt;&lt;script&gt;\""), std::string::npos);
}

TEST(Base64, IsThatOfRfc4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xff\xfe\x00", 3)), "//4A");
}

TEST(Reduced, TakesMeansOfBlocks) {
  const Raster raster{4, 2, {0, 10, 20, 2, 10, 20, 100, 0, 0, 100, 0, 0, 4, 10, 20, 6, 10, 20, 100, 0, 0, 101, 0, 0}};
  EXPECT_EQ(reduced(raster, 4).bytes, raster.bytes);
  const Raster half = reduced(raster, 2);
  EXPECT_EQ(half.width, 2);
  EXPECT_EQ(half.height, 1);
  EXPECT_EQ(half.bytes, (std::vector<std::uint8_t>{3, 10, 20, 100, 0, 0}));
}

TEST(Ticks, AreRoundNumbersInside) {
  EXPECT_EQ(round_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(round_ticks(3.2, 4.9, 4), (std::vector<double>{3.5, 4, 4.5}));
  EXPECT_TRUE(round_ticks(1, 1, 5).empty());
}

RunFiles run_with(std::int64_t seed, std::int64_t steps, double first) {
  RunFiles run;
  run.options.seed = seed;
  run.last_step = steps;
  run.steps_per_epoch = 10;
  run.metrics.push_back({"loss", {}});
  for (std::int64_t step = 1; step <= steps; ++step)
    run.metrics[0].points.push_back({step, first + static_cast<double>(step)});
  return run;
}

TEST(Curves, AreMeansOverSeedsWithABand) {
  std::vector<RunFiles> runs{run_with(1, 20, 0), run_with(2, 10, 4)};
  runs[0].metrics.push_back({"std", {{20, 0.5}}});
  const std::vector<LineChart> charts = charts_of(runs, {{{0, 1}, "both"}});
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0].x_title, "epoch");
  const Curve& loss = charts[0].curves.at(0);
  ASSERT_EQ(loss.points.size(), 20u);
  EXPECT_DOUBLE_EQ(loss.points[4].x, 0.5);
  EXPECT_DOUBLE_EQ(loss.points[4].mean, 7);
  EXPECT_DOUBLE_EQ(loss.points[4].low, 5);
  EXPECT_DOUBLE_EQ(loss.points[4].high, 9);
  EXPECT_DOUBLE_EQ(loss.points[19].mean, 20) << "the other run has ended";
  const std::string drawn = line_chart(charts[0]);
  EXPECT_EQ(count_of(drawn, "<polyline class=\"curve"), 1u);
  EXPECT_EQ(count_of(drawn, "<polygon class=\"band"), 1u);
  EXPECT_EQ(count_of(line_chart(charts[1]), "<polygon"), 0u) << "one run has no band";
  EXPECT_EQ(count_of(line_chart(charts[1]), "class=\"dots"), 1u) << "one value is a dot";
}

TEST(Curves, AreThinnedToMeansOfSteps) {
  const std::vector<LineChart> charts = charts_of({run_with(1, 3000, 0)}, {{{0}, "long"}});
  const Curve& loss = charts.at(0).curves.at(0);
  EXPECT_EQ(loss.points.size(), static_cast<std::size_t>(most_points));
  EXPECT_DOUBLE_EQ(loss.points[0].mean, 5.5) << "steps 1 to 10";
  EXPECT_DOUBLE_EQ(loss.points.back().mean, 2995.5);
}

TEST(Curves, AreByStepWhereNoEpochHasEnded) {
  std::vector<RunFiles> runs{run_with(1, 20, 0), run_with(2, 5, 0)};
  runs[1].steps_per_epoch = 0;
  const LineChart chart = charts_of(runs, {{{0}, "a"}, {{1}, "b"}}).at(0);
  EXPECT_EQ(chart.x_title, "step");
  EXPECT_EQ(chart.curves.size(), 2u);
  EXPECT_DOUBLE_EQ(chart.curves[0].points.back().x, 20);
}

TEST(Curves, LeaveOutWhatTheGroupLeavesOut) {
  std::vector<RunFiles> runs{run_with(1, 20, 0), run_with(2, 5, 7)};
  runs[1].steps_per_epoch = 0;
  const LineChart chart = charts_of(runs, {{{0}, "a", {1}}}).at(0);
  EXPECT_EQ(chart.x_title, "epoch");
  EXPECT_DOUBLE_EQ(chart.curves.at(0).points[0].mean, 1);
}

TEST(Curves, OfKnnOnOtherImagesAreApart) {
  std::vector<RunFiles> runs{run_with(1, 10, 0), run_with(2, 10, 0), run_with(1, 10, 0)};
  runs[2].options.limit = 1000;
  for (const auto& [run, images] : {std::pair{0, "planned"}, {1, "all"}, {2, "planned"}})
    runs[run].metrics.push_back({"knn_cosine_200_masked", {{10, 50}}, images});
  const std::vector<LineChart> charts = charts_of(runs, {{{0, 1}, "full"}, {{2}, "less"}});
  ASSERT_EQ(charts.size(), 4u);
  EXPECT_EQ(charts[0].curves.at(0).runs, 2) << "the loss";
  const std::string name = "knn_cosine_200_masked", title = "kNN top-1 in %, k = 200, cosine, with the mask";
  const std::vector<std::string> remarks{"", " (all images)", " (200 images against 1000)"},
      labels{"full", "full", "less"};
  for (std::size_t i = 0; i < 3; ++i) {
    const LineChart& chart = charts[i + 1];
    EXPECT_EQ(chart.figure, name + remarks[i]);
    EXPECT_EQ(chart.title, title + remarks[i]);
    ASSERT_EQ(chart.curves.size(), 1u) << chart.title;
    EXPECT_EQ(chart.curves[0].label, labels[i]);
    EXPECT_EQ(chart.curves[0].runs, 1) << chart.title;
  }
}

TEST(LogScale, IsForValuesFarAboveTheOthers) {
  LineChart chart{"loss", "Loss", "epoch", {{"a", 0, 1, {{0, 1, 1, 1}, {1, 2, 2, 2}, {2, 3, 3, 3}}}}};
  EXPECT_FALSE(has_log_scale(chart));
  chart.curves[0].points[0] = {0, 500, 500, 500};
  EXPECT_TRUE(has_log_scale(chart));
  chart.curves[0].points[1] = {1, 0, 0, 0};
  EXPECT_FALSE(has_log_scale(chart)) << "there is no logarithm of 0";
}

TEST(Chart, EscapesNamesAndShowsEachPoint) {
  const MapChart map{"<x>", "a", "b", {0, 1, 2}, {0, 1, 0}, {0, 1, 1}, {"<cat>", "dog"}, "val"};
  const std::string drawn = map_chart(map);
  EXPECT_EQ(drawn.find("<cat>"), std::string::npos);
  EXPECT_EQ(drawn.find("<x>"), std::string::npos);
  EXPECT_NE(drawn.find("data-class=\"dog\" data-count=\"2\""), std::string::npos);
  const std::string bars = bar_chart({"mask", "features", {0.1, 0.9, 0.5}});
  EXPECT_NE(bars.find("data-count=\"3\""), std::string::npos);
}

TEST(Map, IsThePrincipalComponents) {
  // Along (3, 4) / 5 the centered points are at -10, 0 and 10, across it at 1, -2 and 1.
  Features features{2, 0, {}, {}};
  for (const auto& [along, across] : {std::pair{-10.0, 1.0}, {0.0, -2.0}, {10.0, 1.0}}) {
    features.values.push_back(static_cast<float>(7 + 0.6 * along - 0.8 * across));
    features.values.push_back(static_cast<float>(-3 + 0.8 * along + 0.6 * across));
  }
  const FeatureMap map = principal_map(features);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(std::abs(map.x[i]), i == 1 ? 0 : 10, 1e-5);
    EXPECT_NEAR(map.y[i], i == 1 ? 2 : -1, 1e-5) << "the largest is positive";
  }
  EXPECT_NEAR(map.x_share, 200.0 / 206, 1e-6);
  EXPECT_NEAR(map.y_share, 6.0 / 206, 1e-6);
  EXPECT_THROW(principal_map({2, 0, {1, 2, 1, 2, 1, 2}, {}}), UsageError) << "all the same";
  EXPECT_THROW(principal_map({1, 0, {1, 2, 3}, {}}), UsageError);
}

}  // namespace
}  // namespace vergence
