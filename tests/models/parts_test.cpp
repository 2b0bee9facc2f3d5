// Passes that keep little: batches part by part against as many statistic groups, blocks computed again against kept
// ones, to the second order.
#include "models/parts.h"

#include <gtest/gtest.h>

#include "models/decoder.h"
#include "models/encoder.h"
#include "tests/support/small_models.h"

namespace vergence {
namespace {

constexpr std::int64_t image = 16;

std::vector<double> joined(const Tensors& tensors) {
  std::vector<double> all;
  for (const Tensor& tensor : tensors)
    for (const double value : tensor.values()) all.push_back(value);
  return all;
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference / size);
}

/// Features, their gradient by weights and images along a random cotangent, and the gradient of that gradient's product
/// with random directions.
struct Derivatives {
  std::vector<double> features, first, second;
};

Derivatives derivatives(Encoder encoder, const Tensor& images, const ForwardMode& pass) {
  Tensors wanted{leaf(images)};
  encoder.each([&](const std::string&, Tensor& tensor) {
    tensor = leaf(tensor);
    wanted.push_back(tensor);
  });
  const Tensor features = encoder(wanted[0], pass);
  Derivatives d{features.values(), {}, {}};
  const Tensor cotangent = leaf(random_tensor(features.shape, 11, features.dtype));
  const Tensors first = grad({features}, wanted, {.create = true, .seeds = {cotangent}});
  d.first = joined(first);
  Tensors directions;
  for (std::size_t i = 0; i < first.size(); ++i)
    directions.push_back(random_tensor(first[i].shape, 20 + i, first[i].dtype));
  wanted.push_back(cotangent);
  d.second = joined(grad(first, wanted, {.seeds = directions}));
  return d;
}

Encoder encoder_of(const std::string& name, DType type = DType::f64) {
  EncoderSettings settings;
  if (name != "conv4") settings = ResNetSettings{.encoder = name, .width = 2};
  settings.encoder = name;
  settings.image_size = image;
  return make_encoder(settings, {cpu_backend(), 3, type});
}

class Parts : public testing::TestWithParam<const char*> {};

/// A part of both views has the statistics of two groups, so all parts have those of as many groups of the whole.
TEST_P(Parts, HaveTheDerivativesOfAsManyGroups) {
  const Encoder encoder = encoder_of(GetParam());
  const Tensor images = random_tensor({12, image, image, 3}, 1);
  const Derivatives parts = derivatives(encoder, images, {.groups = 2, .micro_batch = 2});
  const Derivatives whole = derivatives(encoder, images, {.groups = 6});
  EXPECT_LT(relative_difference(parts.features, whole.features), 1e-12);
  EXPECT_LT(relative_difference(parts.first, whole.first), 1e-12);
  EXPECT_LT(relative_difference(parts.second, whole.second), 1e-12);
  EXPECT_GT(relative_difference(parts.features, derivatives(encoder, images, {.groups = 2}).features), 1e-3);
}

TEST_P(Parts, KeepLittle) {
  const Encoder encoder = encoder_of(GetParam());
  const Tensor images = random_tensor({16, image, image, 3}, 1);
  const auto kept = [&](const ForwardMode& pass) {  // bytes, between the passes
    Encoder trained = encoder;
    trained.each([](const std::string&, Tensor& tensor) { tensor = leaf(tensor); });
    const std::int64_t before = cpu_backend().memory().used;
    const Tensor features = trained(images, pass);
    return cpu_backend().memory().used - before;
  };
  const std::int64_t whole = kept({.groups = 2}), parts = kept({.groups = 2, .micro_batch = 2}),
                     blocks = kept({.groups = 2, .recompute = {.blocks = true}});
  EXPECT_LT(static_cast<double>(parts), 0.1 * static_cast<double>(whole));
  EXPECT_LT(static_cast<double>(blocks), 0.4 * static_cast<double>(whole));
}

TEST_P(Parts, UpdateRunningStatisticsOncePerPartAndView) {
  const Encoder encoder = encoder_of(GetParam());
  const Tensor images = random_tensor({10, image, image, 3}, 1);  // parts of 1, 2 and 2 images
  Statistics parts, separate;
  const Derivatives all = derivatives(encoder, images, {.groups = 2, .running = &parts, .micro_batch = 2});
  Tensors features;
  for (std::int64_t part = 0; part < 3; ++part)
    features.push_back(encoder.constant()(part_of_rows(images, 2, part, 3), {.groups = 2, .running = &separate}));
  EXPECT_LT(relative_difference(all.features, joined_parts(features, 2).values()), 1e-13);
  ASSERT_EQ(parts.layers.size(), separate.layers.size());
  for (const auto& [name, running] : parts.layers) {
    EXPECT_EQ(running.batches, 6) << name;
    EXPECT_EQ(running.mean.values(), separate.layers.at(name).mean.values()) << name;
    EXPECT_EQ(running.variance.values(), separate.layers.at(name).variance.values()) << name;
  }
}

TEST_P(Parts, RecomputedBlocksHaveTheSameBits) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
    SCOPED_TRACE(name_of(type));
    const Encoder encoder = encoder_of(GetParam(), master_of(type));
    const Tensor images = random_tensor({8, image, image, 3}, 1, master_of(type));
    Statistics kept_statistics, statistics;
    const ForwardMode kept_pass{.groups = 2, .running = &kept_statistics, .activations = type};
    ForwardMode pass = kept_pass;
    pass.running = &statistics;
    pass.recompute.blocks = true;
    const Derivatives kept = derivatives(encoder, images, kept_pass), again = derivatives(encoder, images, pass);
    EXPECT_EQ(again.features, kept.features);
    EXPECT_EQ(again.first, kept.first);
    EXPECT_LT(relative_difference(again.second, kept.second), type == DType::f64 ? 1e-12 : 5e-2);
    for (const auto& [name, running] : statistics.layers) {
      EXPECT_EQ(running.batches, 2) << name;
      EXPECT_EQ(running.mean.values(), kept_statistics.layers.at(name).mean.values()) << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Encoders, Parts, testing::Values("resnet18", "resnet50", "conv4"),
                         [](const auto& info) { return std::string(info.param); });

/// Evaluation couples no rows, so parts change nothing; the running statistics stay.
TEST(PartsOfEvaluation, EqualTheWhole) {
  const Encoder encoder = encoder_of("resnet18");
  const Tensor images = random_tensor({7, image, image, 3}, 1);
  Statistics statistics;
  encoder.constant()(images, {.running = &statistics});
  const Tensor whole = encoder(images, {.training = false, .running = &statistics});
  const Tensor parts = encoder(images, {.training = false, .running = &statistics, .micro_batch = 3});
  EXPECT_LT(relative_difference(parts.values(), whole.values()), 1e-14);
}

}  // namespace
}  // namespace vergence
