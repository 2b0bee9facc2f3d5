#include "ssl/evaluation/labeled.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/text/printable.h"
#include "engine/text/words.h"
#include "kernels/clock.h"
#include "kernels/error.h"

namespace vergence {

void print_lines(const std::vector<std::string>& lines, const char* begin) {
  for (const std::string& line : lines) std::printf("%s%s\n", begin, printable(line).c_str());
}

Dataset open_labeled(const DatasetSettings& settings, const std::string& split, const char* reader) {
  Dataset dataset = open_dataset(settings, split);
  print_lines(new_notices(dataset), "notice: ");
  require_usage(dataset.classes > 0 && !dataset.labels.empty(), dataset.name, " ", split,
                ": there are no labels, which ", reader, " needs; evaluate --metrics collapse,alignment needs none");
  return dataset;
}

Features shown_features(const Subject& subject, const Encode& encode, const Dataset& data) {
  Features features = extract_features(encode, data, subject.extract, *subject.backend);
  print_lines(new_skipped(data));
  return features;
}

ProbeProgress progress_lines(const char* unit, std::int64_t total, double& last_loss) {
  return [&last_loss, unit, total, shown = Clock::now()](std::int64_t done, double loss) mutable {
    last_loss = loss;
    if (seconds_since(shown) < 5) return;
    shown = Clock::now();
    std::printf("%s %lld/%lld  loss %.4f\n", unit, static_cast<long long>(done), static_cast<long long>(total), loss);
    std::fflush(stdout);
  };
}

void ClassifierFigures::store(nlohmann::ordered_json& json) const {
  json["top1"] = two_decimals(accuracy.top1);
  json["interval_95"] = interval.json();
  json["top5"] = two_decimals(accuracy.top5);
  store_missing(cover, json);
}

void ClassifierFigures::print() const {
  std::printf("95 %% interval of top1: %s (%lld resamples of the images)\n", interval.text().c_str(),
              static_cast<long long>(bootstrap_resamples));
  std::printf("top1 %.2f top5 %.2f\n", accuracy.top1, accuracy.top5);
}

ClassifierFigures judge_classifier(const LinearClassifier& classifier, const Subject& subject, const Encode& encode,
                                   const Dataset& judged, const Dataset& train,
                                   const std::vector<std::int32_t>& learned, std::uint64_t seed) {
  const Features test = shown_features(subject, encode, judged);
  const std::vector<std::int32_t> predicted = probe_predictions(classifier, test, *subject.backend);
  const ClassifierFigures figures{.accuracy = probe_accuracy(classifier, test, *subject.backend),
                                  .interval = bootstrap_interval(predicted, test.labels, seed),
                                  .cover = class_cover(learned, test.labels),
                                  .images = test.rows(),
                                  .feature_dim = test.dim};
  const std::string limit = subject.data.limit > 0 ? join("--limit ", subject.data.limit) : "";
  print_lines(notices_of(figures.cover, train, judged, limit));
  return figures;
}

}  // namespace vergence
