// Batch norm with ReLU, then a convolution: its data gradient also applies the ReLU's mask and sums for the batch norm.
// Compares this fused kernel with separate passes.
#include <functional>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/fusion_counts.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

struct Layer {
  const char* name;
  std::int64_t images, side, in, out, kernel;
  ConvOptions conv;
  std::int64_t groups;
  bool affine, add;
  bool fits;  // the tiles of 128 pixels into the statistic groups
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

struct Outcome {
  Tensors gradients;  // of x, gamma, beta, add, w: those there are
  int together;
  std::vector<std::string> problems;
};

/// Batch norm with ReLU, then a convolution. With `watch_activation` the cotangent between them is asked for as well,
/// unmasked, so that it has to be computed by itself.
Outcome run(const Layer& layer, bool watch_activation) {
  FusionCounts device(device_under_test());
  Outcome outcome;
  {
    const auto values = [&](const char* name, const Shape& shape, DType type) {
      return leaf(from_values(device, shape, normal_values(name, 0, shape.size()), type));
    };
    const Shape images{layer.images, layer.side, layer.side, layer.in}, channels{layer.in};
    // Means of several deviations: sums that were not centered would show.
    const Tensor x = leaf(0.25 * values("x", images, DType::bf16).detached() + 2.0);
    const Tensor w = values("w", {layer.out, layer.kernel, layer.kernel, layer.in}, DType::f32);
    const Tensor gamma = layer.affine ? values("gamma", channels, DType::f32) : Tensor{};
    const Tensor beta = layer.affine ? values("beta", channels, DType::f32) : Tensor{};
    const Tensor add = layer.add ? values("add", images, DType::bf16) : Tensor{};
    const Tensor between = batch_norm(x, gamma, beta, add, {.groups = layer.groups, .relu = true}).y;
    const Tensor y = conv2d(between, w, layer.conv);
    Tensors wanted{x, w};
    for (const Tensor& tensor : {gamma, beta, add})
      if (tensor) wanted.push_back(tensor);
    const std::size_t count = wanted.size();
    if (watch_activation) wanted.push_back(between);
    const Tensor seed = values("seed", y.shape, DType::bf16).detached();
    outcome.gradients = grad({y}, wanted, {.create = false, .keep = false, .seeds = {seed}});
    outcome.gradients.resize(count);
    for (Tensor& tensor : outcome.gradients)
      tensor = from_values(cpu_backend(), tensor.shape, tensor.values(), DType::f64);
  }
  outcome.together = device.sums, outcome.problems = device.problems();
  return outcome;
}

class ConvReluNorm : public testing::TestWithParam<Layer> {
  const WithChoices own_kernels_{device_under_test(), {.cuda_conv = CudaConv::cuda}};
};

TEST_P(ConvReluNorm, EqualsTheSeparatePasses) {
  const Layer& layer = GetParam();
  const Outcome fused = run(layer, false), plain = run(layer, true);
  EXPECT_EQ(fused.together, layer.fits ? 1 : 0);
  EXPECT_EQ(plain.together, 0);
  EXPECT_TRUE(fused.problems.empty());
  ASSERT_EQ(fused.gradients.size(), plain.gradients.size());
  for (std::size_t i = 0; i < fused.gradients.size(); ++i)  // sums in another order, then rounded to bf16
    EXPECT_LE(relative_error(fused.gradients[i].values(), plain.gradients[i].values()), 1e-3) << "gradient " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Layers, ConvReluNorm,
    testing::Values(
        Layer{"3x3, two groups", 4, 8, 16, 24, 3, {.padding = 1}, 2, true, false, true},
        Layer{"3x3 of stride 2, two groups, added", 4, 16, 72, 8, 3, {.stride = 2, .padding = 1}, 2, true, true, true},
        Layer{"1x1, one group, a part of a tile", 3, 9, 24, 16, 1, {}, 1, true, true, true},
        Layer{"1x1 of stride 2: most pixels have no tap", 2, 8, 8, 8, 1, {.stride = 2}, 1, true, false, true},
        Layer{"3x3 of stride 2, odd images, one group",
              3,
              7,
              8,
              16,
              3,
              {.stride = 2, .padding = 1},
              1,
              false,
              false,
              true},
        Layer{"many tiles", 9, 64, 8, 8, 1, {}, 1, true, false, true},
        Layer{"odd images, two groups", 4, 7, 8, 8, 3, {.padding = 1}, 2, true, false, false},
        Layer{"channels that are no vector", 4, 8, 12, 8, 3, {.padding = 1}, 2, true, false, false}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

/// Where the activation is read twice its cotangent is a sum, and nothing may be cut off and summed before that.
TEST(ConvReluNormElsewhere, LeavesAnActivationWithTwoReadersAlone) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  FusionCounts device(device_under_test());
  const Shape images{2, 8, 8, 8};
  const Tensor x = leaf(from_values(device, images, normal_values("x", 0, images.size()), DType::bf16));
  const Tensor w = from_values(device, {8, 1, 1, 8}, normal_values("w", 0, 64), DType::f32);
  const Tensor between = batch_norm(x, {}, {}, {}, {.groups = 1, .relu = true}).y;
  const Tensor seed = from_values(device, images, normal_values("seed", 0, images.size()), DType::bf16);
  grad({conv2d(between, w, {}) + between}, {x}, {.create = false, .keep = false, .seeds = {seed}});
  EXPECT_EQ(device.sums, 0);
  const Tensor again = batch_norm(x, {}, {}, {}, {.groups = 1, .relu = true}).y;
  grad({conv2d(again, w, {})}, {x}, {.create = true, .keep = false, .seeds = {seed}});
  EXPECT_EQ(device.sums, 0) << "a backward pass with history is made of ops that can be differentiated";
}

/// Neither what a batch norm's node is called nor what else it keeps decides whether the device is asked.
TEST(ConvReluNormElsewhere, DependsOnlyOnTheEpilogue) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  FusionCounts device(device_under_test());
  const Shape images{2, 8, 8, 8};
  const Tensor x = leaf(from_values(device, images, normal_values("x", 0, images.size()), DType::bf16));
  const Tensor w = from_values(device, {8, 1, 1, 8}, normal_values("w", 0, 64), DType::f32);
  const Tensor seed = from_values(device, images, normal_values("seed", 0, images.size()), DType::bf16);
  const auto gradient = [&](const std::function<void(Node&)>& change) {
    const Tensor between = batch_norm(x, {}, {}, {}, {.groups = 1, .relu = true}).y;
    change(*between.node);
    return grad({conv2d(between, w, {})}, {x}, {.seeds = {seed}})[0].values();
  };
  const Values expected = gradient([](Node&) {});
  EXPECT_EQ(device.sums, 1);
  const Values changed = gradient([&](Node& node) {
    node.name = "another";
    node.kept.push_back(seed);
    node.kept_outputs.push_back(-1);
  });
  EXPECT_EQ(device.sums, 2);
  EXPECT_EQ(changed, expected);
  gradient([](Node& node) { node.epilogue = nullptr; });
  EXPECT_EQ(device.sums, 2);
}

}  // namespace
}  // namespace vergence::test
