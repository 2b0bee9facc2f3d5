// Evaluations on a GPU: the same figures as on the CPU.
#include <cmath>
#include <gtest/gtest.h>

#include "datasets/shapes/confounded_shapes.h"
#include "kernels/random.h"
#include "ssl/evaluation/geometry/alignment.h"
#include "ssl/evaluation/neighbors/knn.h"
#include "ssl/evaluation/probes/dense.h"
#include "ssl/evaluation/probes/reconstruction.h"
#include "tests/device/device_under_test.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

Features random_features(std::int64_t rows, std::int64_t dim, std::uint64_t sample) {
  Random random(2, Purpose::test, 0, sample);
  Features features{dim, 3, {}, {}};
  for (std::int64_t i = 0; i < rows; ++i) {
    features.labels.push_back(static_cast<std::int32_t>(random.below(3)));
    for (std::int64_t j = 0; j < dim; ++j) features.values.push_back(random.uniform(-1, 1));
  }
  return features;
}

TEST(DeviceEvaluation, Uniformity) {
  const Features features = random_features(70, 9, 0);
  EXPECT_NEAR(uniformity_of(features, device_under_test()), uniformity_of(features, cpu_backend()), 1e-6);
}

TEST(DeviceEvaluation, Knn) {
  const std::vector<KnnForm> forms{{Distance::cosine, 30, 0.1}, {Distance::euclidean, 5, 0}};
  for (CudaMath math : {CudaMath::fp32, CudaMath::tf32_products, CudaMath::tf32})
    for (float shift : {0.0f, 1000.0f}) {  // far from the origin f32 products of the features say nothing
      Features bank = random_features(90, 6, 1), query = random_features(20, 6, 2);
      for (Features* features : {&bank, &query})
        for (float& value : features->values) value += shift;
      const auto here = knn_classify(bank, query, forms, cpu_backend());
      const WithChoices with(device_under_test(), {.math = math});
      const auto there = knn_classify(bank, query, forms, device_under_test());
      for (std::size_t form : {0u, 1u}) EXPECT_EQ(here[form].predicted, there[form].predicted);
    }
}

TEST(DeviceEvaluation, DenseProbe) {
  LabeledMaps maps{6, 2, 2, 3, 8, 2, random_features(24, 3, 3).values, {}};
  Random random(2, Purpose::test, 0, 4);
  for (int i = 0; i < 6 * 64; ++i) maps.labels.push_back(static_cast<std::int32_t>(random.below(2)));
  const DenseSettings settings{.epochs = 3, .batch = 4, .lr = 0.1};
  const LinearClassifier here = train_dense(maps, settings, cpu_backend());
  const LinearClassifier there = train_dense(maps, settings, device_under_test());
  for (std::size_t i = 0; i < here.weight.size(); ++i) EXPECT_NEAR(there.weight[i], here.weight[i], 1e-4);
  for (std::size_t i = 0; i < here.bias.size(); ++i) EXPECT_NEAR(there.bias[i], here.bias[i], 1e-4);
  EXPECT_EQ(predict_pixels(here, maps, cpu_backend()), predict_pixels(here, maps, device_under_test()));
}

TEST(DeviceEvaluation, Reconstruction) {
  const Dataset train = render_shapes({.image_size = 16}, "probe", 8),
                test = render_shapes({.image_size = 16}, "test", 4);
  ExtractSettings extract;
  extract.image_size = 16;
  extract.mean = train.mean, extract.std = train.std;
  const auto r_squared = [&](Backend& backend) {
    return reconstruction_of(random_features(8, 5, 5), train, random_features(4, 5, 6), test, extract,
                             {.width = 2, .epochs = 2, .batch = 4}, backend)
        .r_squared();
  };
  const double here = r_squared(cpu_backend());
  EXPECT_NEAR(r_squared(device_under_test()), here, 2e-3 * (1 + std::abs(here)));
}

}  // namespace
}  // namespace vergence::test
