// The foreground matrix, and the effect of new backgrounds on predictions.
#include "ssl/evaluation/robustness/foreground.h"

#include <limits>

#include "datasets/dataset.h"
#include "kernels/error.h"
#include "ssl/evaluation/neighbors/knn.h"

namespace vergence {
namespace {

double percent_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? 100 * static_cast<double>(part) / static_cast<double>(whole)
                   : std::numeric_limits<double>::quiet_NaN();
}

/// The background families of the first `count` images after re-pairing.
std::vector<std::int32_t> new_families(const LayeredSplit& split, std::int64_t count) {
  std::vector<std::int32_t> families;
  for (std::int64_t i = 0; i < count; ++i) families.push_back(split.family(split.partner(i)));
  return families;
}

}  // namespace

BackgroundSwap swap_of(const std::vector<std::int32_t>& labels, const std::vector<std::int32_t>& new_families,
                       const std::vector<std::int32_t>& before, const std::vector<std::int32_t>& after) {
  const std::size_t images = labels.size();
  require(images > 0 && new_families.size() == images && before.size() == images && after.size() == images,
          "background swap: ", images, " classes, ", new_families.size(), " families, ", before.size(), " and ",
          after.size(), " predictions, expected as many of each");
  std::int64_t full = 0, repaired = 0, changed = 0, followed = 0;
  for (std::size_t i = 0; i < images; ++i) {
    full += before[i] == labels[i];
    repaired += after[i] == labels[i];
    if (before[i] == after[i]) continue;
    ++changed;
    followed += after[i] == new_families[i];
  }
  const auto all = static_cast<std::int64_t>(images);
  return {percent_of(full, all), percent_of(repaired, all), percent_of(changed, all), percent_of(followed, changed)};
}

ForegroundMatrix foreground_matrix(const Encode& encode, const LayeredSplit& train, const LayeredSplit& test,
                                   std::int64_t limit, const ExtractSettings& extract, const ProbeSettings& probe,
                                   Backend& backend) {
  const auto features = [&](const LayeredSplit& split, ImageVersion form) {
    return extract_features(encode, split.render(form, limit), extract, backend);
  };
  std::vector<Features> tests;
  for (ImageVersion form : ForegroundMatrix::test) tests.push_back(features(test, form));
  ForegroundMatrix matrix;
  for (std::size_t row = 0; row < ForegroundMatrix::train.size(); ++row) {
    const Features bank = features(train, ForegroundMatrix::train[row]);
    const LinearClassifier classifier = train_probe(bank, probe, backend);
    for (std::size_t column = 0; column < tests.size(); ++column) {
      const KnnAccuracy knn = knn_accuracy(bank, tests[column], backend);
      matrix.linear_probe[row][column] = probe_accuracy(classifier, tests[column], backend).top1;
      matrix.knn_cosine_200[row][column] = knn.cosine_200.top1;
      matrix.k = knn.cosine_200.k;
      matrix.knn_euclidean_5[row][column] = knn.euclidean_5.top1;
    }
    if (ForegroundMatrix::train[row] != ImageVersion::full) continue;
    const Features &full = tests.front(), &repaired = tests.back();
    matrix.swap = swap_of(full.labels, new_families(test, full.rows()), probe_predictions(classifier, full, backend),
                          probe_predictions(classifier, repaired, backend));
  }
  return matrix;
}

}  // namespace vergence
