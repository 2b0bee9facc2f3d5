#include "ssl/training/validation.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/text/printable.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/mask.h"

namespace vergence {

Features Validation::features_of(const Dataset& dataset, const Encode& encode, std::int64_t done_before,
                                 std::int64_t all) {
  for (const std::string& notice : new_notices(dataset)) progress_.note("notice: " + notice);
  ExtractSettings settings = run_.judged_images();
  settings.progress = [&](std::int64_t done, std::int64_t) { progress_.evaluating(done_before + done, all); };
  Features features = extract_features(encode, dataset, settings, run_.backend);
  for (const std::string& line : new_skipped(dataset)) progress_.note(printable(line));
  return features;
}

std::pair<Features, Features> Validation::bank_and_queries(const Encode& encode) {
  const Dataset bank = run_.data.judged("probe"), queries = run_.data.judged("test");
  tell_cover(bank, queries);
  const std::int64_t all = bank.count + queries.count;
  Features of_bank = features_of(bank, encode, 0, all), of_queries = features_of(queries, encode, bank.count, all);
  return {std::move(of_bank), std::move(of_queries)};
}

/// Warns once about query classes that the bank lacks and about a small bank.
void Validation::tell_cover(const Dataset& bank, const Dataset& queries) {
  if (cover_told_) return;
  cover_told_ = true;
  if (const std::int64_t k = knn_cosine_200().k; bank.count < k)
    progress_.note(join("notice: kNN with k = ", k, " uses k = ", bank.count, ", all the bank has"));
  const std::int64_t most = run_.options.eval_limit;
  const std::string limit = most > 0 ? join("--eval-limit ", most) : "";
  for (const std::string& notice : notices_of(class_cover(bank.labels, queries.labels), bank, queries, limit))
    progress_.note(notice);
}

void Validation::log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnAccuracy& accuracy,
                         const char* suffix, const char* remark) {
  line[std::string("knn_cosine_200") + suffix] = accuracy.cosine_200.top1;
  line[std::string("knn_euclidean_5") + suffix] = accuracy.euclidean_5.top1;
  char text[160];
  std::snprintf(text, sizeof text, "epoch %lld: kNN top1 %.2f (k=200, cosine), %.2f (k=5, Euclidean)%s",
                static_cast<long long>(epoch), accuracy.cosine_200.top1, accuracy.euclidean_5.top1, remark);
  progress_.note(text);
}

void Validation::evaluate(nlohmann::ordered_json& line, std::int64_t epoch) {
  const auto [bank, queries] =
      bank_and_queries([this](const Tensor& images) { return run_.objective->features(images); });
  log_knn(line, epoch, knn_accuracy(bank, queries, run_.backend), "", "");
  if (const Tensor mask = run_.objective->feature_mask()) {
    const std::vector<float> factors = cast(mask, DType::f32).floats();
    log_knn(line, epoch, knn_accuracy(masked(bank, factors), masked(queries, factors), run_.backend), "_masked",
            ", features times the mask");
  }
}

void Validation::evaluate_recalibrated(nlohmann::ordered_json& line, std::int64_t epoch, Statistics& statistics) {
  const auto [bank, queries] = bank_and_queries(encode_with(run_.objective->encoder(), statistics, run_.activations));
  log_knn(line, epoch, knn_accuracy(bank, queries, run_.backend), "_recalibrated",
          ", running statistics estimated anew");
}

}  // namespace vergence
