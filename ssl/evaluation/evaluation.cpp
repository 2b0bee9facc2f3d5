// Lists the metrics, decides which of them a data set allows, and runs them one after the other.
#include "ssl/evaluation/evaluation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "datasets/registry.h"
#include "engine/text/words.h"
#include "kernels/clock.h"
#include "kernels/error.h"
#include "ssl/evaluation/metrics.h"

namespace vergence {
namespace {

using Json = nlohmann::ordered_json;

enum class Labels { none, of_judged, of_both /* and of the images learned from */ };

struct Metric {
  const char* name;
  Json (Metrics::*compute)();
  bool needs_layers;  // of the data set's images
  Labels needs = Labels::of_both;
};
constexpr Metric metrics[] = {
    {"knn", &Metrics::knn, false},
    {"crowding", &Metrics::crowding, false, Labels::of_judged},
    {"collapse", &Metrics::collapse, false, Labels::none},
    {"alignment", &Metrics::alignment, false, Labels::none},
    {"clustering", &Metrics::clustering, false, Labels::of_judged},
    {"foreground", &Metrics::foreground, true},
    {"dense", &Metrics::dense, true, Labels::none},
    {"reconstruction", &Metrics::reconstruction, false, Labels::none},
    {"nuisance", &Metrics::nuisance, false, Labels::none},
    {"episodes", &Metrics::episodes, false, Labels::of_judged},
    {"corruptions", &Metrics::corruptions, false},
    {"knn_sweep", &Metrics::knn_sweep, false},
};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "a,b" -> {"a", "b"}; keeps empty names.
std::vector<std::string> split_at_commas(const std::string& list) {
  std::vector<std::string> names{""};
  for (char c : list) {
    if (c == ',')
      names.emplace_back();
    else
      names.back() += c;
  }
  return names;
}

/// "npy val has no labels", or nothing if it has labels.
std::string no_labels(const Dataset& dataset) {
  const bool labeled = dataset.classes > 0 && !dataset.labels.empty();
  return labeled ? "" : join(dataset.name, " ", dataset.split, " has no labels");
}

/// "test, 300 images (--limit 300)".
std::string judged_words(const Dataset& judged, std::int64_t limit) {
  return join(judged.split, ", ", counted(judged.count, "image"), limit > 0 ? join(" (--limit ", limit, ")") : "");
}

/// Metrics that the available labels do not allow.
struct LeftOut {
  std::vector<std::string> metrics;
  std::string why;
};

/// Opens the judged images, and the training images if they matter.
LeftOut without_labels(const std::vector<std::string>& chosen, Metrics& work) {
  const std::string judged = no_labels(work.test());
  LeftOut left_out;
  for (const Metric& metric : metrics) {
    if (!contains(chosen, metric.name) || metric.needs == Labels::none) continue;
    std::string obstacle = judged;
    if (obstacle.empty() && metric.needs == Labels::of_both) obstacle = no_labels(work.training());
    if (obstacle.empty()) continue;
    left_out.why = obstacle;
    left_out.metrics.emplace_back(metric.name);
  }
  return left_out;
}

/// The metrics that need no labels, for the message that refuses the others.
std::string metrics_without_need(const std::string& dataset) {
  std::vector<std::string> names;
  for (const Metric& metric : metrics)
    if (metric.needs == Labels::none && (!metric.needs_layers || has_layers(dataset))) names.emplace_back(metric.name);
  return listed(names);
}

/// Runs the metrics one after the other and adds them to `json`; returns the seconds of each.
Json compute_metrics(const std::vector<std::string>& chosen, const std::vector<std::string>& left_out, Metrics& work,
                     Json& json, std::exception_ptr* failure) {
  Json times = Json::object();
  std::exception_ptr first;
  bool any = false;
  for (const Metric& metric : metrics) {
    if (!contains(chosen, metric.name)) continue;
    json[metric.name] = nullptr;
    if (contains(left_out, metric.name)) continue;
    const Clock::time_point start = Clock::now();
    try {
      json[metric.name] = (work.*metric.compute)();
      any = true;
    } catch (const std::exception& error) {
      if (!failure) throw;
      if (!first) first = std::current_exception();
      work.none(metric.name, error.what());
    }
    times[metric.name] = two_decimals(seconds_since(start));
  }
  if (first && !any) std::rethrow_exception(first);
  if (failure) *failure = first;
  return times;
}

/// Checks the settings by themselves.
void check_settings(const EvaluationSettings& settings) {
  require_usage(
      settings.mask_file.empty() || contains(settings.metrics, "knn") || contains(settings.metrics, "corruptions"),
      "--mask: only knn and corruptions use a mask, and --metrics leaves them out");
  const bool episodes_set = settings.episodes_given || settings.episodes != EpisodeSettings{};
  require_usage(!episodes_set || contains(settings.metrics, "episodes"),
                "--ways, --shots, --queries, --episodes: only episodes uses them, and --metrics leaves it out");
  check_episodes(settings.episodes);
}

}  // namespace

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Metric& metric : metrics) all.emplace_back(metric.name);
    return all;
  }();
  return names;
}

std::vector<std::string> chosen_metrics(const std::string& list, const std::string& dataset) {
  const std::vector<std::string> asked = split_at_commas(list);
  std::string known;
  for (const std::string& name : metric_names()) known += name + ", ";
  for (const std::string& name : asked)
    require_usage(name == "all" || contains(metric_names(), name), "--metrics: unknown name '", name,
                  "', expected some of ", known, "or all");
  std::vector<std::string> chosen;
  for (const Metric& metric : metrics) {
    const bool fits = !metric.needs_layers || has_layers(dataset), named = contains(asked, metric.name);
    require_usage(fits || !named, "--metrics: ", metric.name, " needs ", layered_names(), ", the data set is ",
                  dataset);
    if (named || (fits && contains(asked, "all"))) chosen.emplace_back(metric.name);
  }
  return chosen;
}

nlohmann::ordered_json evaluate(Subject& subject, const EvaluationSettings& settings, const ShowLine& show,
                                std::exception_ptr* failure) {
  const Clock::time_point begin = Clock::now();
  check_settings(settings);
  Metrics work(subject, settings, show);
  if (!settings.heading.empty()) show(settings.heading + " " + judged_words(work.test(), subject.data.limit));
  const LeftOut left_out = without_labels(settings.metrics, work);
  const std::string names = listed(left_out.metrics);
  require_usage(names.empty() || settings.unasked, "--metrics: ", left_out.why, ", which ", names,
                left_out.metrics.size() == 1 ? " needs" : " need", "; ", metrics_without_need(subject.data.name),
                " need none");
  if (!names.empty()) show(join("notice: ", left_out.why, ": left out ", names));
  Json json = subject.description(), reasons = Json::object();
  json["seed"] = settings.seed;
  json["metrics"] = settings.metrics;
  json["train_limit"] = settings.train_limit;
  json["test_images"] = work.query().rows();
  json["feature_dim"] = work.query().dim;
  if (contains(settings.metrics, "episodes") && !settings.unasked) {
    const std::string obstacle = work.why_no_episodes();
    require_usage(obstacle.empty(), "--metrics: no episodes: ", obstacle);
  }
  for (const std::string& name : left_out.metrics) reasons[name] = left_out.why;
  const Json times = compute_metrics(settings.metrics, left_out.metrics, work, json, failure);
  for (const auto& [figure, reason] : work.not_measured()) reasons[figure] = reason;
  if (!reasons.empty()) json["not_measured"] = reasons;
  json["seconds_of"] = times;
  json["seconds"] = two_decimals(seconds_since(begin));
  return json;
}

nlohmann::ordered_json figures_of(const nlohmann::ordered_json& evaluation) {
  Json figures = Json::object();
  std::vector<std::string> keys = metric_names();
  keys.emplace_back("not_measured");
  for (const std::string& key : keys)
    if (evaluation.contains(key)) figures[key] = evaluation[key];
  return figures;
}

}  // namespace vergence
