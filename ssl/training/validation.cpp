#include "ssl/training/validation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "engine/text/printable.h"
#include "ssl/evaluation/features/class_cover.h"
#include "ssl/evaluation/features/mask.h"
#include "ssl/training/checkpoint.h"

namespace vergence {
namespace {

/// A reader's message without its advice on --split, an option of the tools that judge alone.
std::string without_split_advice(const std::string& message) { return message.substr(0, message.find("; --split ")); }

}  // namespace

std::string collapse_warning(const Collapse& collapse, std::int64_t epoch) {
  char text[400];
  const auto say = [&](const char* what, double value, double bound, const char* means) {
    std::snprintf(
        text, sizeof text,
        "warning: the features have collapsed after epoch %lld: their %s is %.3g, below %.3g: %s. A lower --lr, more "
        "--warmup-epochs or a larger --batch may help",
        static_cast<long long>(epoch), what, value, bound, means);
    return std::string(text);
  };
  if (collapse.std < collapsed_std)
    return say("deviation", collapse.std, collapsed_std, "all images have nearly the same features");
  if (collapse.rank_me < collapsed_rankme)
    return say("RankMe", collapse.rank_me, collapsed_rankme, "they lie along one direction");
  return "";
}

/// The features of evenly spaced, un-augmented training images.
Features Validation::training_features() {
  const Dataset& images = run_.data.train();
  const std::int64_t count = run_.plan.figures.images;
  const ExtractSettings settings = run_.judged_images();
  const std::vector<std::int64_t> own = own_images(count, settings.batch, run_.sharing);
  Features features;
  world_.together([&] {
    for (std::size_t begin = 0; begin < own.size(); begin += static_cast<std::size_t>(settings.batch)) {
      std::vector<std::int64_t> indices;
      for (std::size_t i = begin; i < std::min(own.size(), begin + static_cast<std::size_t>(settings.batch)); ++i)
        indices.push_back(own[i] * images.count / count);
      const Tensor rows = run_.objective->features(plain_images(images, indices, settings, run_.backend));
      const std::vector<float> values = cast(rows, DType::f32).floats();
      features.dim = rows.shape[1];
      features.values.insert(features.values.end(), values.begin(), values.end());
      progress_.evaluating(static_cast<std::int64_t>(begin + indices.size()), static_cast<std::int64_t>(own.size()));
    }
  });
  return gathered(world_, features);
}

/// Throws on all ranks if the features that any of them has in `own` are not all finite: the run has diverged.
void Validation::require_finite(const std::vector<const Features*>& own, std::int64_t epoch) {
  bool finite = true;
  for (const Features* features : own)
    for (const float value : features->values) finite &= std::isfinite(value);
  for (const int each : world_.gather(finite ? 1 : 0))
    if (each == 0)
      throw SharedError(join("after epoch ", epoch, ": the encoder's features are not finite; a lower --lr may help",
                             kept_checkpoint_text(checkpoint_)));
}

void Validation::judge_collapse(nlohmann::ordered_json& line, std::int64_t epoch) {
  const Features features = training_features();
  require_finite({&features}, epoch);
  if (features.rows() < 2) return;
  const Collapse collapse = collapse_of(features);
  line["std"] = collapse.std;
  line["rankme"] = collapse.rank_me;
  char text[120];
  std::snprintf(text, sizeof text, "epoch %lld: deviation %.3f, RankMe %.1f of %lld", static_cast<long long>(epoch),
                collapse.std, collapse.rank_me, static_cast<long long>(std::min(features.dim, features.rows())));
  progress_.note(text);
  const std::string warning = collapse_warning(collapse, epoch);
  if (!warning.empty() && !collapse_told_) progress_.note(warning);
  collapse_told_ |= !warning.empty();
}

/// The features of this rank's part of the data set.
Features Validation::features_of(const Dataset& dataset, const Encode& encode, std::int64_t done_before,
                                 std::int64_t all) {
  for (const std::string& notice : new_notices(dataset)) progress_.note("notice: " + notice);
  ExtractSettings settings = run_.judged_images();
  settings.progress = [&](std::int64_t done, std::int64_t total) {
    progress_.evaluating(done_before + dataset.count * done / total, all);
  };
  const std::vector<std::int64_t> own = own_images(dataset.count, settings.batch, run_.sharing);
  settings.may_be_none = run_.sharing.ranks > 1;
  Features features;
  if (!own.empty()) features = extract_features(encode, dataset, own, settings, run_.backend);
  for (const std::string& line : new_skipped(dataset)) skipped_ += printable(line) + "\n";
  return features;
}

/// Notes the images that the ranks have left out.
void Validation::tell_skipped() {
  for (const std::string& lines : world_.gather(std::exchange(skipped_, ""))) {
    std::istringstream each(lines);
    for (std::string line; std::getline(each, line);) progress_.note(line);
  }
}

Validation::KnnFeatures Validation::bank_and_queries(const Encode& encode, std::int64_t epoch) {
  const FigurePlan& plan = run_.plan.figures;
  KnnFeatures own;
  world_.together([&] {
    const Dataset bank = run_.data.judged("probe", plan.bank), queries = run_.data.judged("test", plan.queries);
    require_usage(bank.classes > 0 && queries.classes > 0, bank.name, " has no labels");
    tell_cover(bank, queries);
    const std::int64_t all = bank.count + queries.count;
    own.bank = features_of(bank, encode, 0, all);
    own.queries = features_of(queries, encode, bank.count, all);
  });
  tell_skipped();
  require_finite({&own.bank, &own.queries}, epoch);
  own.bank = gathered(world_, own.bank);
  for (const int queries : world_.gather(static_cast<int>(own.queries.rows()))) own.all_queries += queries;
  if (own.bank.rows() == 0 || own.all_queries == 0)
    throw SharedUsageError(
        join(run_.data.train().name, own.all_queries == 0 ? " test" : " probe", ": none of the images can be read"));
  return own;
}

/// Warns once about query classes that the bank lacks and about a small bank.
void Validation::tell_cover(const Dataset& bank, const Dataset& queries) {
  if (cover_told_) return;
  cover_told_ = true;
  if (const std::int64_t k = knn_cosine_200().k; bank.count < k)
    progress_.note(join("notice: kNN with k = ", k, " uses k = ", bank.count, ", all the bank has"));
  const std::int64_t most = run_.options.eval_limit;
  const std::string limit = most > 0 ? join("--eval-limit ", most) : run_.plan.figures.queries > 0 ? "--figures" : "";
  for (const std::string& notice : notices_of(class_cover(bank.labels, queries.labels), bank, queries, limit))
    progress_.note(notice);
}

KnnAccuracy Validation::accuracy_of(const KnnFeatures& features) {
  KnnAccuracy own;
  const std::int64_t queries = features.queries.rows();
  if (queries > 0) own = knn_accuracy(features.bank, features.queries, run_.backend);
  return gathered(world_, own, queries);
}

void Validation::log_knn(nlohmann::ordered_json& line, std::int64_t epoch, const KnnFeatures& features,
                         const char* suffix, const char* remark) {
  const KnnAccuracy accuracy = accuracy_of(features);
  line[std::string("knn_cosine_200") + suffix] = accuracy.cosine_200.top1;
  line[std::string("knn_euclidean_5") + suffix] = accuracy.euclidean_5.top1;
  line["knn_images"] = knn_images(run_.options);
  char text[240];
  std::snprintf(text, sizeof text,
                "epoch %lld: kNN top1 %.2f (k=200, cosine), %.2f (k=5, Euclidean) of %s images against %s%s",
                static_cast<long long>(epoch), accuracy.cosine_200.top1, accuracy.euclidean_5.top1,
                grouped_text(features.all_queries).c_str(), grouped_text(features.bank.rows()).c_str(), remark);
  progress_.note(text);
}

void Validation::judge_knn(nlohmann::ordered_json& line, std::int64_t epoch) {
  if (no_knn_) return;
  KnnFeatures features;
  try {
    features = bank_and_queries([this](const Tensor& images) { return run_.objective->features(images); }, epoch);
  } catch (const UsageError& error) {
    if (run_.options.eval_every > 0) throw;
    no_knn_ = true;
    progress_.note(join("notice: no kNN in this run: ", printable(without_split_advice(error.what()))));
    return;
  }
  log_knn(line, epoch, features, "", "");
  if (const Tensor mask = run_.objective->feature_mask()) {
    const std::vector<float> factors = cast(mask, DType::f32).floats();
    features.bank = masked(features.bank, factors), features.queries = masked(features.queries, factors);
    log_knn(line, epoch, features, "_masked", ", features times the mask");
  }
}

void Validation::judge_recalibrated(nlohmann::ordered_json& line, std::int64_t epoch, Statistics& statistics) {
  const KnnFeatures features =
      bank_and_queries(encode_with(run_.objective->encoder(), statistics, run_.activations), epoch);
  log_knn(line, epoch, features, "_recalibrated", ", running statistics re-estimated");
}

}  // namespace vergence
