#include "ssl/training/validation.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/text/shown.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/steps/setup.h"
#include "ssl/training/finishing.h"

namespace vergence {

TrainingEvaluation::TrainingEvaluation(const Options& options, const ViewSettings& view, Objective& objective,
                                       Backend& backend, EvaluationListener listener)
    : options_(options), view_(view), objective_(objective), backend_(backend), listener_(std::move(listener)) {}

/// Un-augmented images as the encoder is evaluated on them.
ExtractSettings TrainingEvaluation::image_settings() const {
  ExtractSettings settings;
  settings.image_size = view_.size;
  settings.channels = view_.channels;
  settings.mean = view_.mean;
  settings.std = view_.std;
  settings.resize = options_.eval_resize;
  return settings;
}

/// A split of files is kept, so that it is looked through once.
Dataset TrainingEvaluation::judged(const std::string& split) {
  if (const auto kept = judged_.find(split); kept != judged_.end()) return kept->second;
  DatasetSettings settings = dataset_settings(options_);
  settings.decode = DecodeRule::exact;
  settings.limit = options_.eval_limit;
  Dataset dataset = open_dataset(settings, split);
  for (const std::string& notice : new_notices(dataset)) listener_.note("notice: " + notice);
  if (dataset.source) judged_.emplace(split, dataset);
  return dataset;
}

std::pair<Features, Features> TrainingEvaluation::bank_and_queries(const Encode& encode) {
  const Dataset bank = judged("probe"), queries = judged("test");
  tell_cover(bank, queries);
  ExtractSettings settings = image_settings();
  const auto features = [&](const Dataset& dataset, std::int64_t done_before) {
    settings.progress = [&, done_before](std::int64_t done, std::int64_t) {
      listener_.progress(done_before + done, bank.count + queries.count);
    };
    Features all = extract_features(encode, dataset, settings, backend_);
    for (const std::string& line : new_skipped(dataset)) listener_.note(printable(line));
    return all;
  };
  Features of_bank = features(bank, 0), of_queries = features(queries, bank.count);
  return {std::move(of_bank), std::move(of_queries)};
}

/// Names the judged classes that the bank lacks, once.
void TrainingEvaluation::tell_cover(const Dataset& bank, const Dataset& queries) {
  if (cover_told_) return;
  cover_told_ = true;
  const std::string limit = options_.eval_limit > 0 ? join("--eval-limit ", options_.eval_limit) : "";
  for (const std::string& notice : notices_of(class_cover(bank.labels, queries.labels), bank, queries, limit))
    listener_.note(notice);
}

void TrainingEvaluation::log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnAccuracy& accuracy,
                                 const char* suffix, const char* remark) {
  line[std::string("knn_cosine_200") + suffix] = accuracy.cosine_200.top1;
  line[std::string("knn_euclidean_5") + suffix] = accuracy.euclidean_5.top1;
  char text[160];
  std::snprintf(text, sizeof text, "epoch %lld: kNN top1 %.2f (k=200, cosine), %.2f (k=5, Euclidean)%s",
                static_cast<long long>(epoch), accuracy.cosine_200.top1, accuracy.euclidean_5.top1, remark);
  listener_.note(text);
}

void TrainingEvaluation::evaluate(nlohmann::ordered_json& line, std::int64_t epoch, const std::string& pictures) {
  const auto [bank, queries] = bank_and_queries([this](const Tensor& images) { return objective_.features(images); });
  log_knn(line, epoch, knn_accuracy(bank, queries, backend_), "", "");
  if (const Tensor mask = objective_.feature_mask()) {
    const std::vector<float> factors = cast(mask, DType::f32).floats();
    log_knn(line, epoch, knn_accuracy(masked(bank, factors), masked(queries, factors), backend_), "_masked",
            ", features times the mask");
  }
  DatasetSettings settings = dataset_settings(options_);
  settings.decode = DecodeRule::exact;
  settings.limit = pictured_images;
  const auto kept = judged_.find("probe");  // more to choose from where some cannot be read
  save_pictures(objective_, kept != judged_.end() ? kept->second : open_dataset(settings, "probe"), image_settings(),
                pictures, epoch, backend_);
}

Statistics TrainingEvaluation::recalibrate(nlohmann::ordered_json& line, std::int64_t epoch, const Dataset& train) {
  ExtractSettings settings = image_settings();
  settings.batch = options_.batch;
  const DType activations = activations_of(options_, backend_);
  Statistics statistics = recalibrated_statistics(objective_.encoder(), train, settings,
                                                  {.batches = objective_.recalibration_batches(),
                                                   .seed = static_cast<std::uint64_t>(options_.seed),
                                                   .epoch = options_.epochs,
                                                   .activations = activations},
                                                  backend_);
  if (options_.eval_every > 0) {
    const auto [bank, queries] = bank_and_queries(encode_with(objective_.encoder(), statistics, activations));
    log_knn(line, epoch, knn_accuracy(bank, queries, backend_), "_recalibrated", ", running statistics estimated anew");
  }
  return statistics;
}

}  // namespace vergence
