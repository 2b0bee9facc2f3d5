// The list of metrics and what each prints and stores.
#include "ssl/evaluation/evaluation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "datasets/layered_images.h"
#include "kernels/clock.h"
#include "kernels/error.h"
#include "ssl/evaluation/alignment.h"
#include "ssl/evaluation/clustering.h"
#include "ssl/evaluation/corruptions.h"
#include "ssl/evaluation/crowding.h"
#include "ssl/evaluation/dense.h"
#include "ssl/evaluation/episodes.h"
#include "ssl/evaluation/feature_mask.h"
#include "ssl/evaluation/foreground.h"
#include "ssl/evaluation/knn.h"
#include "ssl/evaluation/nuisance.h"
#include "ssl/evaluation/reconstruction.h"
#include "ssl/evaluation/spectrum.h"

namespace vergence {
namespace {

using Json = nlohmann::ordered_json;

std::string fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

/// Says that images are not in colour.
std::string not_measured(const std::string& figure, const Dataset& images) {
  return join(figure, " not measured: ", images.name, " has ", images.channels,
              images.channels == 1 ? " channel" : " channels", ", expected 3");
}

/// A number as it is stored: null where it is none.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

/// What the metrics work on: the subject, and features that are extracted when they are first asked for.
class Evaluation {
 public:
  Evaluation(Subject& subject, const EvaluationSettings& settings, const ShowLine& show)
      : subject_(subject), settings_(settings), show_(show), encode_(subject.encode()), probe_(quick_probe()) {
    probe_.seed = settings.seed;
    if (const std::string path = mask_path(); !path.empty())
      mask_ = read_feature_mask(path, subject.encoder.settings.dim());
  }

  Json knn() {
    Json json = knn_of(bank(), query(), "");
    if (!mask_.empty()) {
      json["masked"] = knn_of(masked(bank(), mask_), masked(query(), mask_), "masked_");
      json["masked"]["mask_file"] = mask_path();
    }
    return json;
  }

  Json crowding() {
    const Crowding result = crowding_of(query());
    line("crowding_ratio", result.ratio, 4);
    line("crowding_intra", result.intra, 4);
    line("crowding_inter", result.inter, 4);
    return {{"ratio", number(result.ratio)}, {"intra", result.intra}, {"inter", result.inter}};
  }

  Json collapse() {
    const Collapse result = collapse_of(query());
    line("rankme", result.rank_me, 2, "of " + std::to_string(std::min(query().dim, query().rows())));
    line("std", result.std, 4, "of unit features, times sqrt(dim)");
    return {{"rankme", result.rank_me}, {"std", result.std}};
  }

  Json alignment() {
    const bool own = subject_.views.size() == 2;
    const char* which = own ? "the run's views" : "crop 0.08-1, flip";
    const auto features = [&](std::size_t view) {
      return extract_view_features(encode_, test(), subject_.extract, own ? subject_.views[view] : probe_view(),
                                   settings_.seed, static_cast<std::int64_t>(view), *subject_.backend);
    };
    const Features first = features(0), second = features(1);
    const double alignment = alignment_of(first, second);
    const double uniformity = (uniformity_of(first, *subject_.backend) + uniformity_of(second, *subject_.backend)) / 2;
    line("alignment", alignment, 4, which);
    line("uniformity", uniformity, 4, which);
    return {{"alignment", alignment}, {"uniformity", uniformity}, {"views", which}};
  }

  Json clustering() {
    const Agreement result = clustering_of(query(), settings_.seed);
    line("clustering_accuracy", result.accuracy, 2);
    line("clustering_nmi", result.nmi, 4);
    line("clustering_ari", result.ari, 4);
    return {{"accuracy", two_decimals(result.accuracy)}, {"nmi", result.nmi}, {"ari", result.ari}};
  }

  Json foreground() {
    const ForegroundMatrix matrix =
        foreground_matrix(encode_, *layers(probe_split(subject_.options.split)), *layers(subject_.options.split),
                          subject_.data.limit, subject_.extract, probe_, *subject_.backend);
    Json json{{"train", names_of(ForegroundMatrix::train)}, {"test", names_of(ForegroundMatrix::test)}};
    json["probe"] = name_of(probe_.protocol);
    json["linear_probe"] = rows_of("linear_probe", matrix.linear_probe);
    json["knn_cosine_200"] = rows_of("knn_cosine_200", matrix.knn_cosine_200);
    json["knn_euclidean_5"] = rows_of("knn_euclidean_5", matrix.knn_euclidean_5);
    json["swap"] = shown_swap(matrix.swap);
    return json;
  }

  Json dense() {
    DenseSettings dense;
    dense.seed = settings_.seed;
    const Confusion result = dense_probe(subject_.encode_map(), *layers(probe_split(subject_.options.split)),
                                         *layers(subject_.options.split), train_limit(), subject_.data.limit,
                                         subject_.extract, dense, *subject_.backend);
    const double mean = result.mean_intersection_over_union();
    const double background = result.intersection_over_union(0), foreground = result.intersection_over_union(1);
    line("dense_miou", mean, 2, "foreground " + fixed(foreground, 2) + ", background " + fixed(background, 2));
    return {{"miou", number(two_decimals(mean))},
            {"iou_foreground", number(two_decimals(foreground))},
            {"iou_background", number(two_decimals(background))}};
  }

  Json reconstruction() {
    ReconstructionSettings decoder;
    decoder.seed = settings_.seed;
    const Dataset train = in_memory(some_training(), subject_.extract), images = in_memory(test(), subject_.extract);
    const bool known = !test().source;  // otherwise images may have been left out
    const Determination result =
        reconstruction_of(known ? first_rows(bank(), train.count) : features_of(train), train,
                          known ? query() : features_of(images), images, subject_.extract, decoder, *subject_.backend);
    line("reconstruction_r2", result.r_squared(), 4, "decoder of width " + std::to_string(decoder.width));
    return {{"r2", number(result.r_squared())}, {"mse", result.mean_squared_error()}, {"variance", result.variance()},
            {"decoder_width", decoder.width},   {"epochs", decoder.epochs},           {"train_images", train.count}};
  }

  Json nuisance() {
    const Dataset train = in_memory(some_training(), subject_.extract), images = in_memory(test(), subject_.extract);
    Json json{{"probe", name_of(probe_.protocol)}, {"classes", nuisance_classes}, {"train_images", train.count}};
    for (Nuisance each : nuisances) {
      if (!has_meaning(each, images)) {
        show_(not_measured(std::string("nuisance_") + name_of(each), images));
        json[name_of(each)] = nullptr;
        continue;
      }
      const double top1 = nuisance_accuracy(encode_, train, images, each, subject_.extract, probe_, *subject_.backend);
      line(std::string("nuisance_") + name_of(each), top1, 2, "top-1, chance 25");
      json[name_of(each)] = two_decimals(top1);
    }
    return json;
  }

  Json episodes() {
    const std::string obstacle = why_no_episodes();
    if (!obstacle.empty()) {
      show_("episodes not measured: " + obstacle);
      return nullptr;
    }
    EpisodeSettings episodes = settings_.episodes;
    episodes.seed = settings_.seed;
    Json json{{"classes", episode_classes().name},
              {"drawn_from", episode_classes().labels.size()},
              {"classifier", "nearest class mean of unit features, cosine"},
              {"ways", episodes.ways},
              {"queries", episodes.queries},
              {"episodes", episodes.episodes}};
    for (const EpisodeAccuracy& each : episode_accuracy(query(), episode_classes(), episodes)) {
      line(join("episodes_", episodes.ways, "_way_", each.shots, "_shot"), each.mean, 2,
           join("+- ", fixed(each.interval, 2), ", ", episodes.episodes, " episodes, ", episode_classes().name));
      json["shots"][std::to_string(each.shots)] = {{"accuracy", two_decimals(each.mean)},
                                                   {"interval_95", two_decimals(each.interval)}};
    }
    return json;
  }

  Json corruptions() {
    const Features train =
        first_rows(bank(), std::min(train_limit() > 0 ? train_limit() : bank().rows(), bank().rows()));
    const LinearClassifier probe = train_probe(train, probe_, *subject_.backend);
    const CorruptedFeatures tests =
        corrupted_features(encode_, test(), subject_.extract, settings_.seed, *subject_.backend);
    if (!has_meaning(Corruption::hue, test())) show_(not_measured("corruptions_hue", test()));
    Json json{{"probe", name_of(probe_.protocol)}, {"train_images", train.rows()}};
    json["linear_probe"] = corruptions_of("linear_probe", tests, [&](const Features& query) {
      return probe_accuracy(probe, query, *subject_.backend).top1;
    });
    const auto knn = [&](const Features& bank, const Features& query) {
      KnnForm form = knn_cosine_200();
      form.k = std::min(form.k, bank.rows());
      return knn_classify(bank, query, {form}, *subject_.backend)[0].top1;
    };
    json["knn_cosine_200"] =
        corruptions_of("knn_cosine_200", tests, [&](const Features& query) { return knn(bank(), query); });
    if (!mask_.empty()) {
      const Features scaled = masked(bank(), mask_);
      json["masked"]["knn_cosine_200"] = corruptions_of(
          "masked_knn_cosine_200", tests, [&](const Features& query) { return knn(scaled, masked(query, mask_)); });
      json["masked"]["mask_file"] = mask_path();
    }
    return json;
  }

  /// Why there are no episodes in this data set, after its name; empty if there are.
  std::string why_no_episodes() {
    const std::string why = no_episodes_since(query().labels, episode_classes(), settings_.episodes);
    return why.empty() ? "" : join(test().name, " ", test().split, ": ", why);
  }

  const Features& bank() {
    return cached(bank_, [&] { return features_of(training()); });
  }
  const Features& query() {
    return cached(query_, [&] { return features_of(test()); });
  }
  const Dataset& training() {
    return cached(training_, [&] { return open_dataset(subject_.data, probe_split(subject_.options.split)); });
  }
  const Dataset& test() {
    return cached(test_, [&] { return open_dataset(subject_.data, subject_.options.split); });
  }

 private:
  template <class T, class Make>
  static const T& cached(std::optional<T>& place, const Make& make) {
    if (!place) place = make();
    return *place;
  }

  const EpisodeClasses& episode_classes() {
    return cached(episode_classes_, [&] {
      const std::int64_t bank_images = test().name == "cifar100" ? training().count : 0;
      return classes_of_episodes(test(), bank_images);
    });
  }

  Features features_of(const Dataset& dataset) const {
    return extract_features(encode_, dataset, subject_.extract, *subject_.backend);
  }

  static Features first_rows(Features features, std::int64_t count) {
    features.labels.resize(static_cast<std::size_t>(count));
    features.values.resize(static_cast<std::size_t>(count * features.dim));
    return features;
  }

  void line(const std::string& name, double value, int decimals, const std::string& note = "") const {
    show_(name + " " + fixed(value, decimals) + (note.empty() ? "" : " (" + note + ")"));
  }

  /// The mask's file, or nothing.
  std::string mask_path() const {
    if (!settings_.mask_file.empty()) return settings_.mask_file;
    const auto beside = std::filesystem::path(subject_.path).parent_path() / "mask.safetensors";
    std::error_code error;  // what is there and cannot be looked at is complained of by its reader
    const bool none = std::filesystem::status(beside, error).type() == std::filesystem::file_type::not_found;
    return subject_.options.untrained || none ? "" : beside.string();
  }

  Json knn_of(const Features& bank, const Features& query, const std::string& prefix) const {
    const KnnAccuracy accuracy = knn_accuracy(bank, query, *subject_.backend);
    Json json;
    const auto add = [&](const char* name, const KnnResult& result, const std::string& form) {
      line(prefix + name + " top1", result.top1, 2, "k = " + std::to_string(result.k) + ", " + form);
      json[name] = {{"top1", two_decimals(result.top1)}, {"k", result.k}, {"form", form}};
    };
    add("knn_cosine_200", accuracy.cosine_200, "cosine, votes exp(similarity / 0.1)");
    add("knn_euclidean_5", accuracy.euclidean_5, "Euclidean, majority");
    return json;
  }

  /// A line and the top-1 of clean and corrupted images.
  Json corruptions_of(const std::string& judge, const CorruptedFeatures& tests,
                      const std::function<double(const Features&)>& top1) const {
    const CorruptionAccuracy accuracy = corruption_accuracy(tests, top1);
    Json json{{"clean", two_decimals(accuracy.clean)}};
    std::string shown = "corruptions_" + judge + " clean " + fixed(accuracy.clean, 2);
    for (std::size_t i = 0; i < accuracy.changed.size(); ++i) {
      const char* name = name_of(vergence::corruptions[i]);
      const std::optional<double>& value = accuracy.changed[i];
      json[name] = value ? Json(two_decimals(*value)) : Json(nullptr);
      if (value) shown += join(", ", name, " ", fixed(*value, 2));
    }
    json["mean_drop"] = two_decimals(accuracy.mean_drop());
    show_(shown + ", mean drop " + fixed(accuracy.mean_drop(), 2));
    return json;
  }

  template <std::size_t count>
  static Json names_of(const std::array<ImageVersion, count>& forms) {
    Json names;
    for (ImageVersion form : forms) names.push_back(name_of(form));
    return names;
  }

  std::unique_ptr<LayeredSplit> layers(const std::string& split) const { return open_layers(subject_.data, split); }

  Json shown_swap(const BackgroundSwap& swap) const {
    show_("foreground_swap full " + fixed(swap.full, 2) + ", repaired " + fixed(swap.repaired, 2) + ", drop " +
          fixed(swap.drop(), 2) + ", changed " + fixed(swap.changed, 2) + " %, of these followed " +
          fixed(swap.followed, 2) + " %");
    return {{"full", two_decimals(swap.full)},
            {"repaired", two_decimals(swap.repaired)},
            {"drop", two_decimals(swap.drop())},
            {"changed", two_decimals(swap.changed)},
            {"followed", number(two_decimals(swap.followed))}};
  }

  /// A line and a list of top-1 per form trained on.
  Json rows_of(const std::string& judge, const ForegroundMatrix::Rows& rows) const {
    Json json;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      Json values;
      std::string shown;
      for (std::size_t column = 0; column < rows[row].size(); ++column) {
        shown += std::string(column > 0 ? ", " : " ") + name_of(ForegroundMatrix::test[column]) + " " +
                 fixed(rows[row][column], 2);
        values.push_back(two_decimals(rows[row][column]));
      }
      show_("foreground_" + judge + " trained on " + name_of(ForegroundMatrix::train[row]) + ", tested on" + shown);
      json.push_back(values);
    }
    return json;
  }

  /// --train-limit and --limit, whichever is less; 0: none.
  std::int64_t train_limit() const {
    const std::int64_t a = settings_.train_limit, b = subject_.data.limit;
    return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
  }

  /// The probe split's first images, as many as other probes than kNN train on.
  Dataset some_training() {
    Dataset some = training();
    if (train_limit() > 0) some.count = std::min(some.count, train_limit());
    some.labels.resize(static_cast<std::size_t>(some.count));
    some.pixels.resize(static_cast<std::size_t>(some.count * some.image_size()));
    return some;
  }

  Subject& subject_;
  const EvaluationSettings& settings_;
  const ShowLine& show_;
  Encode encode_;
  ProbeSettings probe_;
  std::vector<float> mask_;  // empty: none
  std::optional<Dataset> training_, test_;
  std::optional<Features> bank_, query_;
  std::optional<EpisodeClasses> episode_classes_;
};

struct Metric {
  const char* name;
  Json (Evaluation::*compute)();
  bool needs_layers;  // of the data set's images
};
constexpr Metric metrics[] = {
    {"knn", &Evaluation::knn, false},
    {"crowding", &Evaluation::crowding, false},
    {"collapse", &Evaluation::collapse, false},
    {"alignment", &Evaluation::alignment, false},
    {"clustering", &Evaluation::clustering, false},
    {"foreground", &Evaluation::foreground, true},
    {"dense", &Evaluation::dense, true},
    {"reconstruction", &Evaluation::reconstruction, false},
    {"nuisance", &Evaluation::nuisance, false},
    {"episodes", &Evaluation::episodes, false},
    {"corruptions", &Evaluation::corruptions, false},
};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// "a,b" -> {"a", "b"}; empty names stay.
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

}  // namespace

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Metric& metric : metrics) all.push_back(metric.name);
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
    if (named || (fits && contains(asked, "all"))) chosen.push_back(metric.name);
  }
  return chosen;
}

nlohmann::ordered_json evaluate(Subject& subject, const EvaluationSettings& settings, const ShowLine& show) {
  const Clock::time_point begin = Clock::now();
  require_usage(
      settings.mask_file.empty() || contains(settings.metrics, "knn") || contains(settings.metrics, "corruptions"),
      "--mask: only knn and corruptions use a mask, and --metrics leaves them out");
  require_usage(settings.episodes == EpisodeSettings{} || contains(settings.metrics, "episodes"),
                "--ways, --shots, --queries, --episodes: only episodes uses them, and --metrics leaves it out");
  check_episodes(settings.episodes);
  Evaluation evaluation(subject, settings, show);
  Json json = subject.description(), times;
  json["seed"] = settings.seed;
  json["train_limit"] = settings.train_limit;
  json["test_images"] = evaluation.query().rows();
  json["feature_dim"] = evaluation.query().dim;
  if (contains(settings.metrics, "episodes") && !settings.all) {
    const std::string obstacle = evaluation.why_no_episodes();
    require_usage(obstacle.empty(), "--metrics: no episodes: ", obstacle);
  }
  for (const Metric& metric : metrics) {
    if (!contains(settings.metrics, metric.name)) continue;
    const Clock::time_point start = Clock::now();
    json[metric.name] = (evaluation.*metric.compute)();
    times[metric.name] = two_decimals(seconds_since(start));
  }
  json["seconds_of"] = times;
  json["seconds"] = two_decimals(seconds_since(begin));
  return json;
}

}  // namespace vergence
