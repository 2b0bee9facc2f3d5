// Computes, prints and stores each metric.
#include "ssl/evaluation/metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/registry.h"
#include "datasets/shapes/layered_images.h"
#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/error.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/evaluation/geometry/alignment.h"
#include "ssl/evaluation/geometry/clustering.h"
#include "ssl/evaluation/geometry/spectrum.h"
#include "ssl/evaluation/neighbors/crowding.h"
#include "ssl/evaluation/probes/dense.h"
#include "ssl/evaluation/probes/reconstruction.h"
#include "ssl/evaluation/robustness/nuisance.h"
#include "ssl/evaluation/sampling/bootstrap.h"

namespace vergence {
namespace {

/// The number for the file: null if it is not finite.
Metrics::Json number_or_null(double value) {
  return std::isfinite(value) ? Metrics::Json(value) : Metrics::Json(nullptr);
}

/// The reason why hue does not apply: the images are not in color.
std::string has_no_color(const Dataset& images) {
  return join(images.name, " has ", counted(images.channels, "channel"), ", expected 3");
}

template <class T, class Make>
const T& cached(std::optional<T>& place, const Make& make) {
  if (!place) place = make();
  return *place;
}

Features first_rows(Features features, std::int64_t count) {
  if (!features.labels.empty()) features.labels.resize(static_cast<std::size_t>(count));
  features.values.resize(static_cast<std::size_t>(count * features.dim));
  return features;
}

/// `count` rows, evenly spaced.
Features spaced_rows(const Features& features, std::int64_t count) {
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(i * features.rows() / count);
  return rows_at(features, rows);
}

template <std::size_t count>
Metrics::Json names_of(const std::array<ImageVersion, count>& forms) {
  Metrics::Json names;
  for (ImageVersion form : forms) names.push_back(name_of(form));
  return names;
}

constexpr const char* one_image = "there is one image, expected at least two";

}  // namespace

Metrics::Metrics(Subject& subject, const EvaluationSettings& settings, const ShowLine& show)
    : subject_(subject), settings_(settings), show_(show), encode_(subject.encode()), probe_(quick_probe()) {
  probe_.seed = settings.seed;
  if (const std::string path = mask_path(); !path.empty()) take_mask(path);
}

/// The run's own mask must be of the encoder's step: they are two files, and a run that is killed or still trains may
/// have replaced one of them.
void Metrics::take_mask(const std::string& path) {
  FeatureMask mask = read_feature_mask(path, subject_.encoder.settings().dim());
  const auto step = subject_.metadata.find("step");
  const bool unfit =
      settings_.mask_file.empty() && !mask.step.empty() && step != subject_.metadata.end() && step->second != mask.step;
  const auto asked = [&](const char* name) {
    return std::find(settings_.metrics.begin(), settings_.metrics.end(), name) != settings_.metrics.end();
  };
  if (!unfit)
    mask_ = std::move(mask.factors);
  else if (asked("knn") || asked("corruptions"))
    show_(join("notice: no figures with the mask: ", printable(path), " is of step ", mask.step,
               ", the encoder of step ", step->second));
}

Metrics::Json Metrics::knn() {
  Json missing = Json::object();
  tell_cover(bank().labels, query().labels, limit_text(), missing);
  Json json = knn_of(bank(), query(), "");
  json.update(missing);
  if (!mask_.empty()) {
    json["masked"] = knn_of(masked(bank(), mask_), masked(query(), mask_), "masked_");
    json["masked"]["mask_file"] = mask_path();
  }
  return json;
}

Metrics::Json Metrics::crowding() {
  if (classes_in(query().labels).size() < 2)
    return none("crowding", "all " + judged_text() + " are of one class, expected at least two");
  const Crowding result = crowding_of(query());
  if (result.inter > 0)
    line("crowding_ratio", result.ratio, 4);
  else
    none("crowding_ratio", "the means of all classes coincide");
  line("crowding_intra", result.intra, 4);
  line("crowding_inter", result.inter, 4);
  return {{"ratio", number_or_null(result.ratio)}, {"intra", result.intra}, {"inter", result.inter}};
}

Metrics::Json Metrics::collapse() {
  if (query().rows() < 2) return none("collapse", one_image);
  const Collapse result = collapse_of(query());
  line("rankme", result.rank_me, 2, "of " + std::to_string(std::min(query().dim, query().rows())));
  line("std", result.std, 4, "of unit features, times sqrt(dim)");
  return {{"rankme", result.rank_me}, {"std", result.std}};
}

Metrics::Json Metrics::alignment() {
  const bool own = subject_.views.size() == 2;
  const char* which = own ? "the run's views" : "crop 0.08-1, flip";
  const auto features = [&](std::size_t view) {
    return extract_view_features(encode_, test(), subject_.extract, own ? subject_.views[view] : probe_view(),
                                 settings_.seed, static_cast<std::int64_t>(view), *subject_.backend);
  };
  Features first = features(0);
  const Features second = features(1);
  if (first.rows() != second.rows()) first = features(0);  // without the files of which only view 1 found the damage
  for (const std::string& skipped : new_skipped(test())) show_(printable(skipped));
  const double alignment = alignment_of(first, second);
  line("alignment", alignment, 4, which);
  Json json{{"alignment", alignment}, {"uniformity", nullptr}, {"views", which}};
  if (first.rows() < 2) {
    none("uniformity", one_image);
    return json;
  }
  const double uniformity = (uniformity_of(first, *subject_.backend) + uniformity_of(second, *subject_.backend)) / 2;
  line("uniformity", uniformity, 4, which);
  json["uniformity"] = uniformity;
  return json;
}

Metrics::Json Metrics::clustering() {
  if (classes_in(query().labels).size() < 2)
    return none("clustering", "all " + judged_text() + " are of one class, expected at least two");
  const Agreement result = clustering_of(query(), settings_.seed);
  line("clustering_accuracy", result.accuracy, 2);
  line("clustering_nmi", result.nmi, 4);
  line("clustering_ari", result.ari, 4);
  return {{"accuracy", two_decimals(result.accuracy)}, {"nmi", result.nmi}, {"ari", result.ari}};
}

Metrics::Json Metrics::foreground() {
  const ForegroundMatrix matrix =
      foreground_matrix(encode_, *layers(probe_split(subject_.options.split)), *layers(subject_.options.split),
                        subject_.data.limit, subject_.extract, probe_, *subject_.backend);
  Json json{{"train", names_of(ForegroundMatrix::train)}, {"test", names_of(ForegroundMatrix::test)}};
  tell_cover(training().labels, test().labels, limit_text(), json);
  json["probe"] = name_of(probe_.protocol);
  json["linear_probe"] = rows_of("linear_probe", matrix.linear_probe);
  json["k"] = matrix.k;
  json["knn_cosine_200"] = rows_of("knn_cosine_200", matrix.knn_cosine_200);
  json["knn_euclidean_5"] = rows_of("knn_euclidean_5", matrix.knn_euclidean_5);
  json["swap"] = shown_swap(matrix.swap);
  return json;
}

Metrics::Json Metrics::dense() {
  DenseSettings dense;
  dense.seed = settings_.seed;
  const Confusion result =
      dense_probe(subject_.encode_map(), *layers(probe_split(subject_.options.split)), *layers(subject_.options.split),
                  train_limit(), subject_.data.limit, subject_.extract, dense, *subject_.backend);
  const double mean = result.mean_intersection_over_union();
  const double background = result.intersection_over_union(0), foreground = result.intersection_over_union(1);
  line("dense_miou", mean, 2, "foreground " + fixed_text(foreground, 2) + ", background " + fixed_text(background, 2));
  return {{"miou", number_or_null(two_decimals(mean))},
          {"iou_foreground", number_or_null(two_decimals(foreground))},
          {"iou_background", number_or_null(two_decimals(background))}};
}

Metrics::Json Metrics::reconstruction() {
  ReconstructionSettings decoder;
  decoder.seed = settings_.seed;
  const Seen train = seen(some_training()), images = seen(test());
  const bool known = !test().source;  // otherwise some images may have been left out
  const Determination result =
      reconstruction_of(known ? first_rows(bank(), train.images.count) : features_of(train.images, train.extract),
                        train.images, known ? query() : features_of(images.images, images.extract), images.images,
                        images.extract, decoder, *subject_.backend);
  if (result.variance() == 0)
    return none("reconstruction", "all values of the judged images are equal, expected different ones");
  line("reconstruction_r2", result.r_squared(), 4, "decoder of width " + std::to_string(decoder.width));
  return {{"r2", number_or_null(result.r_squared())},
          {"mse", result.mean_squared_error()},
          {"variance", result.variance()},
          {"decoder_width", decoder.width},
          {"epochs", decoder.epochs},
          {"train_images", train.images.count}};
}

Metrics::Json Metrics::nuisance() {
  const Seen train = seen(some_training()), images = seen(test());
  Json json{{"probe", name_of(probe_.protocol)}, {"classes", nuisance_classes}, {"train_images", train.images.count}};
  for (Nuisance each : nuisances) {
    if (!has_meaning(each, images.images)) {
      json[name_of(each)] = none(std::string("nuisance_") + name_of(each), has_no_color(images.images));
      continue;
    }
    const double top1 =
        nuisance_accuracy(encode_, train.images, images.images, each, images.extract, probe_, *subject_.backend);
    line(std::string("nuisance_") + name_of(each), top1, 2, "top-1, chance 25");
    json[name_of(each)] = two_decimals(top1);
  }
  return json;
}

Metrics::Json Metrics::episodes() {
  const std::string obstacle = why_no_episodes();
  if (!obstacle.empty()) return none("episodes", obstacle);
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
         join("+- ", fixed_text(each.interval, 2), ", ", episodes.episodes, " episodes, ", episode_classes().name));
    json["shots"][std::to_string(each.shots)] = {{"accuracy", two_decimals(each.mean)},
                                                 {"interval_95", two_decimals(each.interval)}};
  }
  return json;
}

Metrics::Json Metrics::corruptions() {
  const std::int64_t rows = std::min(train_limit() > 0 ? train_limit() : bank().rows(), bank().rows());
  const Features train = training().source ? spaced_rows(bank(), rows) : first_rows(bank(), rows);
  Json json{{"probe", name_of(probe_.protocol)}, {"train_images", train.rows()}};
  if (train.rows() < bank().rows())
    tell_cover(train.labels, query().labels, join("--train-limit ", train.rows()), json);
  else
    tell_cover(bank().labels, query().labels, limit_text(), json);
  const LinearClassifier probe = train_probe(train, probe_, *subject_.backend);
  const CorruptedFeatures tests =
      corrupted_features(encode_, test(), subject_.extract, settings_.seed, *subject_.backend);
  if (!has_meaning(Corruption::hue, test())) none("corruptions_hue", has_no_color(test()));
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
  json["k"] = std::min(knn_cosine_200().k, bank().rows());
  if (!mask_.empty()) {
    const Features scaled = masked(bank(), mask_);
    json["masked"]["knn_cosine_200"] = corruptions_of(
        "masked_knn_cosine_200", tests, [&](const Features& query) { return knn(scaled, masked(query, mask_)); });
    json["masked"]["mask_file"] = mask_path();
  }
  return json;
}

std::string Metrics::why_no_episodes() {
  const std::string why = no_episodes_since(query().labels, episode_classes(), settings_.episodes);
  return why.empty() ? "" : join(test().name, " ", test().split, ": ", why);
}

const Features& Metrics::bank() {
  return cached(bank_, [&] { return features_of(training(), subject_.extract); });
}
const Features& Metrics::query() {
  return cached(query_, [&] { return features_of(test(), subject_.extract); });
}
const Dataset& Metrics::training() {
  return cached(training_, [&] { return opened(probe_split(subject_.options.split)); });
}
const Dataset& Metrics::test() {
  return cached(test_, [&] { return opened(subject_.options.split); });
}

const EpisodeClasses& Metrics::episode_classes() {
  return cached(episode_classes_, [&] {
    const std::int64_t bank_images = test().name == "cifar100" ? training().count : 0;
    return classes_of_episodes(test(), bank_images);
  });
}

Features Metrics::features_of(const Dataset& dataset, const ExtractSettings& extract) const {
  Features features = extract_features(encode_, dataset, extract, *subject_.backend);
  for (const std::string& line : new_skipped(dataset)) show_(printable(line));
  return features;
}

Dataset Metrics::opened(const std::string& split) const {
  Dataset data = open_dataset(subject_.data, split);
  for (const std::string& notice : new_notices(data)) show_("notice: " + printable(notice));
  return data;
}

Metrics::Json Metrics::none(const std::string& figure, const std::string& why) {
  show_(figure + " not measured: " + why);
  not_measured_.emplace_back(figure, why);
  return nullptr;
}

void Metrics::tell_cover(const std::vector<std::int32_t>& learned, const std::vector<std::int32_t>& judged,
                         const std::string& limit, Json& json) {
  const ClassCover cover = class_cover(learned, judged);
  for (const std::string& notice : notices_of(cover, training(), test(), limit)) {
    if (std::find(told_.begin(), told_.end(), notice) != told_.end()) continue;
    told_.push_back(notice);
    show_(notice);
  }
  store_missing(cover, json);
}

std::string Metrics::limit_text() const { return subject_.data.limit > 0 ? join("--limit ", subject_.data.limit) : ""; }

/// "60 images of npy test".
std::string Metrics::judged_text() {
  return join(counted(query().rows(), "image"), " of ", test().name, " ", test().split);
}

void Metrics::line(const std::string& name, double value, int decimals, const std::string& note) const {
  show_(name + " " + fixed_text(value, decimals) + (note.empty() ? "" : " (" + note + ")"));
}

/// The path of the mask's file, or nothing.
std::string Metrics::mask_path() const {
  if (!settings_.mask_file.empty()) return settings_.mask_file;
  const auto beside = std::filesystem::path(subject_.path).parent_path() / "mask.safetensors";
  std::error_code error;  // of a file that exists but cannot be examined; its reader will report it
  const bool none = std::filesystem::status(beside, error).type() == std::filesystem::file_type::not_found;
  return subject_.options.untrained || none ? "" : beside.string();
}

Metrics::Json Metrics::knn_of(const Features& bank, const Features& query, const std::string& prefix) const {
  const KnnAccuracy accuracy = knn_accuracy(bank, query, *subject_.backend);
  Json json;
  const auto add = [&](const char* name, const KnnResult& result, const std::string& form) {
    const Interval interval = bootstrap_interval(result.predicted, query.labels, settings_.seed);
    line(prefix + name + " top1", result.top1, 2, join("k = ", result.k, ", ", form, "; 95 %: ", interval.text()));
    json[name] = {
        {"top1", two_decimals(result.top1)}, {"interval_95", interval.json()}, {"k", result.k}, {"form", form}};
  };
  add("knn_cosine_200", accuracy.cosine_200, "cosine, votes exp(similarity / 0.1)");
  add("knn_euclidean_5", accuracy.euclidean_5, "Euclidean, majority");
  return json;
}

/// Shows a line and returns the top-1 of clean and corrupted images.
Metrics::Json Metrics::corruptions_of(const std::string& judge, const CorruptedFeatures& tests,
                                      const std::function<double(const Features&)>& top1) const {
  const CorruptionAccuracy accuracy = corruption_accuracy(tests, top1);
  Json json{{"clean", two_decimals(accuracy.clean)}};
  std::string shown = "corruptions_" + judge + " clean " + fixed_text(accuracy.clean, 2);
  for (std::size_t i = 0; i < accuracy.changed.size(); ++i) {
    const char* name = name_of(vergence::corruptions[i]);
    const std::optional<double>& value = accuracy.changed[i];
    json[name] = value ? Json(two_decimals(*value)) : Json(nullptr);
    if (value) shown += join(", ", name, " ", fixed_text(*value, 2));
  }
  json["mean_drop"] = two_decimals(accuracy.mean_drop());
  show_(shown + ", mean drop " + fixed_text(accuracy.mean_drop(), 2));
  return json;
}

std::unique_ptr<LayeredSplit> Metrics::layers(const std::string& split) const {
  return open_layers(subject_.data, split);
}

Metrics::Json Metrics::shown_swap(const BackgroundSwap& swap) const {
  show_("foreground_swap full " + fixed_text(swap.full, 2) + ", repaired " + fixed_text(swap.repaired, 2) + ", drop " +
        fixed_text(swap.drop(), 2) + ", changed " + fixed_text(swap.changed, 2) + " %, of these followed " +
        fixed_text(swap.followed, 2) + " %");
  return {{"full", two_decimals(swap.full)},
          {"repaired", two_decimals(swap.repaired)},
          {"drop", two_decimals(swap.drop())},
          {"changed", two_decimals(swap.changed)},
          {"followed", number_or_null(two_decimals(swap.followed))}};
}

/// Shows a line and returns a list of top-1 per training form.
Metrics::Json Metrics::rows_of(const std::string& judge, const ForegroundMatrix::Rows& rows) const {
  Json json;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Json values;
    std::string shown;
    for (std::size_t column = 0; column < rows[row].size(); ++column) {
      shown += std::string(column > 0 ? ", " : " ") + name_of(ForegroundMatrix::test[column]) + " " +
               fixed_text(rows[row][column], 2);
      values.push_back(two_decimals(rows[row][column]));
    }
    show_("foreground_" + judge + " trained on " + name_of(ForegroundMatrix::train[row]) + ", tested on" + shown);
    json.push_back(values);
  }
  return json;
}

/// The smaller of --train-limit and --limit; 0: no limit.
std::int64_t Metrics::train_limit() const {
  const std::int64_t a = settings_.train_limit, b = subject_.data.limit;
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

/// Images of the probe split that the trained metrics learn from: the first ones, or of image files, which are sorted
/// by class, evenly spaced ones.
Dataset Metrics::some_training() {
  Dataset some = training();
  if (some.source && train_limit() > 0) {
    DatasetSettings settings = subject_.data;
    settings.limit = train_limit();
    return open_dataset(settings, some.split);
  }
  if (train_limit() > 0) some.count = std::min(some.count, train_limit());
  if (!some.labels.empty()) some.labels.resize(static_cast<std::size_t>(some.count));
  some.pixels.resize(static_cast<std::size_t>(some.count * some.image_bytes()));
  return some;
}

/// Resizes images from files here, so that no later step resizes them again.
Metrics::Seen Metrics::seen(const Dataset& dataset) const {
  Seen result{in_memory(dataset, subject_.extract), subject_.extract};
  if (dataset.source) result.extract.resize = -1;
  return result;
}

}  // namespace vergence
