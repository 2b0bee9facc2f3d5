#include "ssl/report/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>

#include "engine/io/files.h"
#include "engine/text/words.h"
#include "engine/version.h"
#include "kernels/error.h"
#include "ssl/options/effects.h"
#include "ssl/options/extension.h"
#include "ssl/options/table.h"
#include "ssl/report/curves.h"
#include "ssl/report/html.h"
#include "ssl/report/map.h"

namespace vergence {
namespace {

std::string duration(double seconds) {
  const long whole = std::lround(seconds);
  if (whole >= 3600) return join(whole / 3600, " h ", whole / 60 % 60, " min");
  return whole >= 60 ? join(whole / 60, " min ", whole % 60, " s") : join(whole, " s");
}

/// "at least 2 h 5 min" where some start's time is unknown.
std::string time_taken(const RunHistory& history) {
  return history.seconds > 0 ? (history.seconds_lack ? "at least " : "") + duration(history.seconds) : "";
}

/// "0123456789ab, ba9876543210+changes".
std::string short_commits(const std::vector<std::string>& commits) {
  std::vector<std::string> texts;
  for (const std::string& commit : commits)
    texts.push_back(commit.substr(0, 12) + (commit.ends_with("+changes") ? "+changes" : ""));
  return listed(texts);
}

/// The colors of a map.
std::string class_legend(const std::vector<std::string>& classes) {
  std::string out = "<ul class=\"legend classes\">";
  const auto add = [&](const std::string& color, const std::string& name) {
    out += join("<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><path class=\"swatch ", color,
                "\" d=\"M6 6h0\"/></svg>", html_text(name), "</li>");
  };
  for (std::size_t i = 0; i < std::min(classes.size(), class_colors); ++i) add(join("k", i), classes[i]);
  if (classes.size() > class_colors) add("others", join(classes.size() - class_colors, " more classes"));
  return out + "</ul>";
}

class Page {
 public:
  Page(const std::vector<RunFiles>& runs, const SampleSettings& settings)
      : runs_(runs), settings_(settings), comparison_(compare_runs(runs)) {
    for (const RunGroup& group : groups())
      for (std::size_t run : group.left_out)
        miss("figures of " + runs[run].name, "it is unfinished, and other runs of its group are finished");
  }

  std::string text() {
    add_head();
    add_runs();
    add_comparison();
    add_curves();
    add_views();
    add_features();
    add_reconstructions();
    add_masks();
    add_scores();
    add_missing();
    return out_ + "</main>\n</body>\n</html>\n";
  }

 private:
  struct Missing {
    std::string what, why;
  };

  const std::vector<RunGroup>& groups() const { return comparison_.grouping.groups; }
  void heading(const std::string& title) { out_ += "<h2>" + html_text(title) + "</h2>\n"; }
  void paragraph(const std::string& text) { out_ += "<p>" + html_text(text) + "</p>\n"; }
  void miss(const std::string& what, const std::string& why) { missing_.push_back({what, why}); }

  /// Calls `add`; on an error, names the part among those not shown.
  template <class Add>
  void attempt(const std::string& what, Add&& add) {
    try {
      add();
    } catch (const Error& error) {
      miss(what, error.what());
    }
  }

  /// The group's first run with an encoder; otherwise its first.
  const RunFiles& shown_run(const RunGroup& group) const {
    for (std::size_t run : group.runs)
      if (file_exists(runs_[run].file("encoder.safetensors"))) return runs_[run];
    return runs_[group.runs[0]];
  }

  void add_head();
  void add_runs();
  void add_comparison();
  void add_curves();
  void add_views();
  void add_features();
  void add_notices(const std::vector<std::pair<std::string, FeatureSamples>>& shown);
  void add_neighbors(const std::string& label, const FeatureSamples& samples);
  void add_reconstructions();
  template <class Has, class ChartOf>
  void add_bars(const std::string& what, const std::string& title, const std::string& text, Has&& has,
                ChartOf&& chart_of);
  void add_masks();
  void add_scores();
  void add_missing();

  const std::vector<RunFiles>& runs_;
  const SampleSettings& settings_;
  const Comparison comparison_;
  std::string out_;
  std::vector<Missing> missing_;
};

void Page::add_head() {
  std::vector<std::string> labels;
  for (const RunGroup& group : groups()) labels.push_back(group.label);
  const std::string title = "Report: " + listed(labels);
  out_ = join("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", html_text(title),
              "</title>\n<style>", page_style, "</style>\n</head>\n<body>\n<main>\n<h1>", html_text(title), "</h1>\n");
  paragraph(join("This page shows ", counted(static_cast<std::int64_t>(runs_.size()), "run"), " in ",
                 counted(static_cast<std::int64_t>(groups().size()), "group"),
                 ". Runs that differ only in their seed are one group."));
  out_ += "<p class=\"muted\">Made by Vergence " + html_text(version()) + ", report.</p>\n";
}

/// A table with a column for each run: what it is, where and when it ran.
void Page::add_runs() {
  Table table;
  const std::vector<std::string> names{"objective", "data set", "training images", "encoder",
                                       "seed",      "epochs",   "state",           "commit",
                                       "host",      "device",   "began",           "time taken"};
  for (const std::string& name : names) table.rows.push_back({name, {}});
  for (const RunFiles& run : runs_) {
    const Options& options = run.options;
    const RunHistory& history = run.history;
    const bool has_width = without_effect_by("width", options).empty();
    const std::string encoder = options.encoder + (has_width ? ", width " + option_text(options, "width") : "");
    const std::string extended = extensions_text(options);
    const std::vector<std::string> cells{options.objective,
                                         options.dataset,
                                         options.limit > 0 ? join("at most ", options.limit) : "all",
                                         encoder,
                                         std::to_string(options.seed),
                                         join(options.epochs, extended.empty() ? "" : " (" + extended + ")"),
                                         run.unfinished.empty() ? "finished" : "unfinished: " + run.unfinished,
                                         short_commits(history.commits),
                                         history.hosts,
                                         history.devices,
                                         history.start,
                                         time_taken(history)};
    table.columns.push_back(run.name);
    for (std::size_t i = 0; i < cells.size(); ++i) table.rows[i].cells.push_back(cells[i]);
  }
  heading("Runs");
  out_ += html_table(table, "Runs");
}

void Page::add_comparison() {
  heading("Comparison");
  paragraph(
      "Each column is a group: the mean over its runs, ± the standard deviation of the sample, and their number.");
  out_ += html_table(table_of(comparison_), "Comparison");
}

void Page::add_curves() {
  const std::vector<LineChart> charts = charts_of(runs_, groups());
  for (const RunGroup& group : groups())
    for (const std::size_t place : group.runs)
      if (const RunFiles& run = runs_[place]; run.metrics.empty())
        miss("curves of " + run.name, "its metrics.jsonl has no line");
  if (charts.empty()) return;
  heading("Curves");
  const bool banded =
      std::any_of(groups().begin(), groups().end(), [](const RunGroup& group) { return group.runs.size() > 1; });
  if (banded)
    paragraph(
        "A line is the mean over the runs of a group. The band reaches from their smallest to their largest value.");
  if (groups().size() > curve_colors)
    paragraph(join("There are ", curve_colors, " colors: they repeat from group ", curve_colors + 1,
                   " on. Point at a curve to see its group."));
  out_ += "<ul class=\"legend\">\n";
  for (std::size_t i = 0; i < groups().size(); ++i)
    out_ += join("<li><svg viewBox=\"0 0 36 12\" aria-hidden=\"true\"><path class=\"curve g", i % curve_colors,
                 "\" d=\"M1 6H35\"/></svg>", html_text(groups()[i].label), "</li>\n");
  out_ += "</ul>\n<div class=\"grid-of\">\n";
  for (const LineChart& chart : charts)
    out_ += join("<figure class=\"panel chart\"><figcaption>", html_text(chart.title),
                 has_log_scale(chart) ? " <span class=\"note\">(logarithmic)</span>" : "", "</figcaption>\n",
                 line_chart(chart), "</figure>\n");
  out_ += "</div>\n";
}

void Page::add_views() {
  std::map<std::string, std::vector<std::string>> labels;  // by picture
  std::vector<std::string> order;
  std::int64_t images = 0;
  for (const RunGroup& group : groups())
    attempt("views of " + group.label, [&] {
      const ViewSamples samples = view_samples(runs_[group.runs[0]].options);
      const std::string png = png_of(samples.grid).bytes;
      if (!labels.contains(png)) order.push_back(png);
      labels[png].push_back(group.label);
      images = samples.images;
    });
  if (order.empty()) return;
  heading("Views");
  paragraph("Training images, and below them two views of each, drawn with the settings of the run.");
  for (const std::string& png : order) {
    out_ += "<h3>" + html_text(listed(labels[png])) + "</h3>\n";
    out_ += html_image(png, join(images, " training images of ", listed(labels[png]), ", and two views of each"),
                       "class=\"wide views\"") +
            "\n";
  }
}

/// "test", or "test and val" if groups differ.
std::string splits_of(const std::vector<std::pair<std::string, FeatureSamples>>& shown) {
  std::vector<std::string> splits;
  for (const auto& [label, samples] : shown)
    if (std::find(splits.begin(), splits.end(), samples.split) == splits.end()) splits.push_back(samples.split);
  std::string text;
  for (const std::string& split : splits) text += (text.empty() ? "" : " and ") + split;
  return text;
}

/// Says once of each data set that its images are not of the split test.
void Page::add_notices(const std::vector<std::pair<std::string, FeatureSamples>>& shown) {
  std::vector<std::string> told;
  for (const auto& [label, samples] : shown) {
    if (samples.notice.empty() || std::find(told.begin(), told.end(), samples.notice) != told.end()) continue;
    told.push_back(samples.notice);
    paragraph(samples.notice);
  }
}

/// The map of each group, then its neighbors.
void Page::add_features() {
  std::vector<std::pair<std::string, FeatureSamples>> shown;
  for (const RunGroup& group : groups())
    attempt("map and neighbors of " + group.label,
            [&] { shown.emplace_back(group.label, feature_samples(shown_run(group).path, settings_)); });
  std::string maps;
  for (const auto& [label, samples] : shown)
    attempt("map of " + label, [&] {
      const FeatureMap map = principal_map(samples.test);
      const auto axis = [](const char* which, double share) {
        return join(which, " component, ", fixed_text(100 * share, 1), " % of the variance");
      };
      maps += join("<figure class=\"panel map\"><figcaption>", html_text(label), " <span class=\"note\">",
                   html_text(join(samples.data, " ", samples.split, ", ", samples.test.rows(), " images")),
                   "</span></figcaption>\n",
                   map_chart({label, axis("first", map.x_share), axis("second", map.y_share), map.x, map.y,
                              samples.test.labels, samples.classes, samples.split}),
                   samples.test.labels.empty() ? "" : class_legend(samples.classes), "</figure>\n");
    });
  const bool labeled =
      std::any_of(shown.begin(), shown.end(), [](const auto& one) { return !one.second.test.labels.empty(); });
  if (!maps.empty()) {
    heading("Map of " + splits_of(shown) + " images");
    add_notices(shown);
    paragraph(
        "Each point is an image. Its place is its feature vector along the two directions in which features "
        "vary most (principal components)." +
        std::string(labeled ? " Colors are classes; a class's name is at the mean of its points. Training never saw "
                              "these labels."
                            : ""));
    out_ += "<div class=\"grid-of\">\n" + maps + "</div>\n";
  }
  if (shown.empty()) return;
  heading("Nearest neighbors");
  paragraph("On the left an image of the split " + splits_of(shown) +
            ", then the images of the bank whose features have the largest cosine with its "
            "features, nearest first." +
            (labeled ? " ✓ and a solid border: the same class. ✗ and a dashed border: another one." : ""));
  out_ += "<div class=\"grid-of two\">\n";
  for (const auto& [label, samples] : shown) add_neighbors(label, samples);
  out_ += "</div>\n";
}

void Page::add_neighbors(const std::string& label, const FeatureSamples& samples) {
  const bool labeled = !samples.test.labels.empty();
  if (!labeled) miss("right and wrong neighbors of " + label, samples.data + " has no labels");
  out_ += join("<section class=\"neighbors\"><h3>", html_text(label), "</h3>\n<p class=\"muted\">",
               html_text(join(samples.data, ": images of ", samples.split, ", neighbors among ", samples.bank_images,
                              " images of ", samples.bank_split, ".")),
               "</p>\n");
  const auto add = [&](const NeighborImage& image, const std::string& kind, const std::string& caption) {
    const std::string named = image.label.empty() ? "" : ": class " + image.label;
    out_ += join("<figure class=\"", kind, "\">",
                 html_image(png_of(image.picture).bytes, join(kind, " image ", image.index, named)),
                 "<figcaption title=\"", html_text(image.label), "\">", caption, "</figcaption></figure>");
  };
  for (const NeighborRow& row : samples.rows) {
    out_ += "<div class=\"row\">";
    add(row.query, "query", html_text(row.query.label));
    for (const NeighborImage& image : row.neighbors) {
      const std::string mark = !labeled ? "" : image.right ? " <b>✓</b>" : " <b>✗</b>";
      add(image,
          !labeled      ? "neighbor"
          : image.right ? "right"
                        : "wrong",
          join(html_text(image.label), "<br>", fixed_text(image.similarity, 3), mark));
    }
    out_ += "</div>\n";
  }
  out_ += "</section>\n";
}

void Page::add_reconstructions() {
  std::string pictures;
  for (const RunGroup& group : groups()) {
    const RunFiles& run = shown_run(group);
    if (run.options.objective != "mrcl" && !file_exists(run.file("pictures"))) continue;
    attempt("reconstructions of " + group.label, [&] {
      const PictureFile file = latest_picture(run.path);
      pictures +=
          join("<figure class=\"panel reconstruction\"><figcaption>", html_text(group.label), " <span class=\"note\">",
               html_text(run.name + "/pictures/" + file.name), "</span></figcaption>\n",
               html_image(file.png, "Images, masked images and reconstructions by " + group.label), "</figure>\n");
    });
  }
  if (pictures.empty()) return;
  heading("Reconstructions");
  paragraph("The latest pictures that the run saved: what the model sees and what it reconstructs.");
  out_ += "<div class=\"grid-of\">\n" + pictures + "</div>\n";
}

/// Adds one bar chart for each group whose shown run has such values.
template <class Has, class ChartOf>
void Page::add_bars(const std::string& what, const std::string& title, const std::string& text, Has&& has,
                    ChartOf&& chart_of) {
  std::string charts;
  for (const RunGroup& group : groups()) {
    const RunFiles& run = shown_run(group);
    if (!has(run)) continue;
    attempt(join(what, " of ", group.label), [&] {
      charts += join("<figure class=\"panel ", what, "\"><figcaption>", html_text(group.label), "</figcaption>\n",
                     bar_chart(chart_of(run, group.label)), "</figure>\n");
    });
  }
  if (charts.empty()) return;
  heading(title);
  paragraph(text);
  out_ += "<div class=\"grid-of\">\n" + charts + "</div>\n";
}

void Page::add_masks() {
  add_bars(
      "mask", "Feature mask",
      "The mask's factor for each feature, the largest first. A small factor takes a feature out.",
      [](const RunFiles& run) {
        return run.options.objective == "metamask" || file_exists(run.file("mask.safetensors"));
      },
      [](const RunFiles& run, const std::string& label) {
        return BarChart{"Values of the mask of " + label, "features, by the mask's value", mask_values(run.path)};
      });
}

void Page::add_scores() {
  add_bars(
      "scores", "Scores",
      "Scores of the images in the last batch before the final figures, largest first. A score is the share of an "
      "image's neighbors that are good: enough of their own neighbors have the image as a neighbor. An image with "
      "score "
      "0 repels no other.",
      [](const RunFiles& run) { return run.options.objective == "dsa"; },
      [](const RunFiles& run, const std::string& label) {
        return BarChart{"Scores of images by " + label, "images, by their score", score_values(run.path)};
      });
}

void Page::add_missing() {
  if (missing_.empty()) return;
  heading("Not shown");
  out_ += "<ul class=\"missing\">\n";
  for (const Missing& each : missing_)
    out_ += "<li>Not shown: " + html_text(each.what) + ": " + html_text(each.why) + "</li>\n";
  out_ += "</ul>\n";
}

}  // namespace

std::string report_page(const std::vector<RunFiles>& runs, const SampleSettings& settings) {
  return Page(runs, settings).text();
}

}  // namespace vergence
