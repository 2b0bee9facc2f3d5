// The foreground matrix.
#include "ssl/evaluation/foreground.h"

#include <vector>

#include "datasets/dataset.h"
#include "ssl/evaluation/knn.h"

namespace vergence {

ForegroundMatrix foreground_matrix(const Encode& encode, const ShapesSettings& shapes, const std::string& judged,
                                   std::int64_t limit, const ExtractSettings& extract, const ProbeSettings& probe,
                                   Backend& backend) {
  const auto features = [&](const std::string& split, ShapeVersion form) {
    return extract_features(encode, render_shapes(shapes, split, limit, form), extract, backend);
  };
  std::vector<Features> tests;
  for (ShapeVersion form : ForegroundMatrix::test) tests.push_back(features(judged, form));
  ForegroundMatrix matrix;
  for (std::size_t row = 0; row < ForegroundMatrix::train.size(); ++row) {
    const Features train = features(probe_split(judged), ForegroundMatrix::train[row]);
    const LinearClassifier classifier = train_probe(train, probe, backend);
    for (std::size_t column = 0; column < tests.size(); ++column) {
      const KnnAccuracy knn = knn_accuracy(train, tests[column], backend);
      matrix.linear_probe[row][column] = probe_accuracy(classifier, tests[column], backend).top1;
      matrix.knn_cosine_200[row][column] = knn.cosine_200.top1;
      matrix.knn_euclidean_5[row][column] = knn.euclidean_5.top1;
    }
  }
  return matrix;
}

}  // namespace vergence
