// conv4 as everyone uses it, through models/encoder.h: names and sizes, what it computes, its file, what it refuses.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>
#include <map>

#include "engine/graph.h"
#include "models/encoder_file.h"
#include "tests/support/complaints.h"
#include "tests/support/small_models.h"
#include "tests/support/temporary_folder.h"

namespace vergence {
namespace {

EncoderSettings conv4(std::int64_t image_size, std::int64_t channels = 3) {
  EncoderSettings settings;
  settings.encoder = "conv4";
  settings.image_size = image_size;
  settings.channels = channels;
  return settings;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape, b.shape);
  const std::vector<double> left = a.values(), right = b.values();
  double most = 0;
  for (std::size_t i = 0; i < left.size(); ++i) most = std::max(most, std::abs(left[i] - right[i]));
  return most;
}

/// Random scales and shifts, so that no batch norm is the identity that it starts as.
Encoder stirred_conv4(std::int64_t image_size, DType dtype = DType::f64) {
  Encoder encoder = make_encoder(conv4(image_size), {cpu_backend(), 1, dtype});
  std::uint64_t stream = 1000;
  encoder.each([&](const std::string&, Tensor& tensor) {
    if (tensor.shape.rank() == 1) tensor = tensor + 0.5 * random_tensor(tensor.shape, ++stream, dtype);
  });
  return encoder;
}

TEST(Conv4, HasFourBlocksWithoutBiasOfConvolutions) {
  Encoder encoder = make_encoder(conv4(32), {cpu_backend()});
  std::vector<std::string> names;
  std::int64_t parameters = 0;
  encoder.each([&](const std::string& name, Tensor& tensor) {
    names.push_back(name);
    parameters += tensor.size();
  });
  std::vector<std::string> expected;
  for (const char* block : {"layer1", "layer2", "layer3", "layer4"})
    for (const char* part : {".conv.weight", ".bn.weight", ".bn.bias"}) expected.push_back(std::string(block) + part);
  EXPECT_EQ(names, expected);
  EXPECT_EQ(parameters, 9 * 3 * 64 + 3 * 9 * 64 * 64 + 4 * 2 * 64);
  EXPECT_EQ(conv4(32).metadata(), (Metadata{{"encoder", "conv4"}, {"image_size", "32"}, {"channels", "3"}}))
      << "it has no options";
}

TEST(Conv4, FeaturesAreTheLastMapFlattened) {
  for (const auto& [size, dim] : std::map<std::int64_t, std::int64_t>{{16, 64}, {32, 256}, {35, 256}, {84, 1600}}) {
    EXPECT_EQ(conv4(size).dim(), dim) << size;
    const Encoder encoder = make_encoder(conv4(size), {cpu_backend()});
    const Tensor images = random_tensor({2, size, size, 3}, 1, DType::f32);
    const Tensor map = encoder.feature_map(images, {}), features = encoder(images, {});
    const EncoderShape shape = conv4(size).shape();
    EXPECT_EQ(map.shape, Shape({2, shape.map_size, shape.map_size, shape.map_channels})) << size;
    EXPECT_EQ(features.shape, Shape({2, dim})) << size;
    EXPECT_EQ(features.floats(), map.floats());
  }
}

TEST(Conv4, CostsAreItsLayers) {
  const Cost cost = cost_of(conv4(32), 10);
  const double expected = 2.0 * 10 * 9 * 64 * (3 * 1024 + 64 * (256 + 64 + 16));
  EXPECT_EQ(cost.parameters, 112832);
  EXPECT_EQ(cost.forward_flops, expected);
  ASSERT_EQ(cost.layers.size(), 4u);
  EXPECT_FALSE(cost.layers[0].rectified);
  EXPECT_TRUE(cost.layers[3].rectified);
  EXPECT_EQ(cost.layers[3].conv.in_height, 4);
  const std::int64_t kept = cost_of(conv4(32), 10, DType::bf16).activation_bytes;
  EXPECT_LT(kept, cost.activation_bytes);
  EXPECT_LT(cost_of(conv4(32), 10, DType::bf16, {.norms = true}).activation_bytes, kept);
}

/// The forward pass by the names of its weights, from elementary ops.
Tensor composed(Encoder encoder, Tensor x) {
  std::map<std::string, Tensor> weights;
  encoder.each([&](const std::string& name, Tensor& tensor) { weights[name] = tensor; });
  for (const std::string block : {"layer1", "layer2", "layer3", "layer4"}) {
    x = conv2d(x, weights.at(block + ".conv.weight"), {.stride = 1, .padding = 1});
    const auto rows = static_cast<double>(x.rows());
    const Tensor flat = reshape(x, {x.rows(), x.cols()}), centered = flat - sum_over_rows(flat) / rows;
    const Tensor unit = centered * reciprocal(sqrt(sum_over_rows(square(centered)) / rows + 1e-5));
    x = relu(reshape(unit * weights.at(block + ".bn.weight") + weights.at(block + ".bn.bias"), x.shape));
    x = max_pool(x, {2, 2, 0});
  }
  return reshape(x, {x.shape[0], x.size() / x.shape[0]});
}

TEST(Conv4, ForwardEqualsTheComposition) {
  const Encoder encoder = stirred_conv4(33);
  const Tensor images = random_tensor({4, 33, 33, 3}, 2);
  EXPECT_LT(largest_difference(encoder(images, {}), composed(encoder, images)), 1e-10);
}

TEST(Conv4, GradientAlongARandomDirection) {
  Encoder encoder = stirred_conv4(16);
  const Tensor images = random_tensor({4, 16, 16, 3}, 3), seed = random_tensor({4, 64}, 4);
  expect_gradient_along_a_direction(encoder, [&](const Encoder& net) { return dot(net(images, {.groups = 2}), seed); });
}

TEST(Conv4, IgnoresChannelsThatPadAndReturnsTheWeightsType) {
  const Encoder master = stirred_conv4(16), encoder = stirred_conv4(16, DType::f32);
  const Tensor precise = random_tensor({8, 16, 16, 3}, 5), images = random_tensor({8, 16, 16, 3}, 6, DType::f32);
  EXPECT_LT(largest_difference(master(pad(precise, 3, 0, 8), {}), master(precise, {})), 1e-12);
  const Tensor exact = encoder(images, {}), rounded = encoder(images, {.activations = DType::bf16});
  EXPECT_EQ(rounded.dtype, DType::f32);
  const double error = largest_difference(exact, rounded);
  EXPECT_GT(error, 0) << "bf16 was not used";
  EXPECT_LT(error, 0.25);
}

TEST(Conv4, FileRoundTrip) {
  const Encoder encoder = stirred_conv4(16, DType::f32);
  const Tensor images = random_tensor({8, 16, 16, 3}, 13, DType::f32);
  Statistics statistics;
  encoder(images, {.groups = 2, .running = &statistics});
  const TemporaryFolder folder;
  const std::string path = folder / "encoder.safetensors";
  save_encoder(path, encoder, statistics, {});
  const SafetensorsFile file(path);
  EXPECT_EQ(file.tensors().size(), 4u * 6);
  EXPECT_NO_THROW(file.at("layer1.conv.weight", "F32", {64, 3, 3, 3}));
  TrainedEncoder loaded = load_encoder(path, cpu_backend());
  EXPECT_EQ(loaded.encoder.settings().metadata(), conv4(16).metadata());
  EXPECT_EQ(encoder(images, {.training = false, .running = &statistics}).floats(),
            loaded.encoder(images, {.training = false, .running = &loaded.statistics}).floats());
}

TEST(Conv4, ANewStemIsTheFirstConvolutionAlone) {
  Encoder encoder = stirred_conv4(16);
  const Tensors before = values_of(encoder);
  encoder.renew_stem({cpu_backend(), 9, DType::f64});
  const Tensors after = values_of(encoder);
  EXPECT_NE(before[0].values(), after[0].values());
  for (std::size_t i = 1; i < before.size(); ++i) EXPECT_EQ(before[i].values(), after[i].values());
}

TEST(Conv4, RefusesImagesThatAreTooSmallAndOtherShapes) {
  EXPECT_EQ(message_of([] { make_encoder(conv4(15), {cpu_backend()}); }),
            "conv4: expected images of at least 16 pixels, got 15");
  EXPECT_EQ(message_of([] { cost_of(conv4(8), 1); }), "conv4: expected images of at least 16 pixels, got 8");
  EXPECT_THROW(make_encoder(conv4(16, -3), {cpu_backend()}), UsageError);
  const Encoder encoder = make_encoder(conv4(32), {cpu_backend()});
  expect_contains(message_of<Error>([&] {
                    encoder(zeros(cpu_backend(), {2, 32, 32, 4}), {});
                  }),
                  {"conv4", "[2, 32, 32, 4]"});
  expect_contains(message_of<Error>([&] { encoder(zeros(cpu_backend(), {2, 64, 64, 3}), {}); }), {"conv4", "2x2"});
}

}  // namespace
}  // namespace vergence
