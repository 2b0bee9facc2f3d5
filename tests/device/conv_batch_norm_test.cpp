// Batch norm that takes its statistics from the convolution's kernel, compared with the two ops one after the other.
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
  bool affine, add, relu;
  bool fits;  // the tiles of 128 pixels into the statistic groups

  std::int64_t out_side() const { return (side + 2 * conv.padding - kernel) / conv.stride + 1; }
  ConvShape conv_shape() const {
    ConvShape shape;
    shape.batch = images, shape.in_height = shape.in_width = side, shape.in_channels = in, shape.out_channels = out;
    shape.kernel_height = shape.kernel_width = kernel, shape.stride = conv.stride, shape.padding = conv.padding;
    return shape;
  }
  NormShape norm_shape() const {
    NormShape shape;
    shape.groups = groups, shape.rows = images * out_side() * out_side() / groups, shape.channels = out;
    shape.relu = relu;
    return shape;
  }
};

void PrintTo(const Layer& layer, std::ostream* out) { *out << layer.name; }

Tensor random_tensor(const char* name, const Shape& shape, DType type, Backend& device = device_under_test()) {
  return from_values(device, shape, normal_values(name, 0, shape.size()), type);
}

/// x, w, gamma, beta, add; some of them "none".
Tensors inputs_of(const Layer& layer, Backend& device = device_under_test()) {
  const Shape out{layer.images, layer.out_side(), layer.out_side(), layer.out}, channels{layer.out};
  const Shape weights{layer.out, layer.kernel, layer.kernel, layer.in};
  const Tensor x = random_tensor("x", {layer.images, layer.side, layer.side, layer.in}, DType::bf16, device);
  // Means of several deviations: sums of squares that were not centered would show.
  return {0.25 * x + 2.0, random_tensor("w", weights, DType::f32, device),
          layer.affine ? random_tensor("gamma", channels, DType::f32, device) : Tensor{},
          layer.affine ? random_tensor("beta", channels, DType::f32, device) : Tensor{},
          layer.add ? random_tensor("add", out, DType::bf16, device) : Tensor{}};
}

struct Outcome {
  BatchNormResult result;
  Tensors gradients;
};

template <class Forward>
Outcome run(const Layer& layer, const Forward& forward) {
  Tensors in = inputs_of(layer), wanted;
  for (Tensor& tensor : in)
    if (tensor) wanted.push_back(tensor = leaf(tensor));
  const BatchNormResult result = forward(in, BatchNormOptions{.groups = layer.groups, .relu = layer.relu});
  const Tensor seed = random_tensor("seed", result.y.shape, DType::bf16);
  return {result, grad({result.y}, wanted, {.create = false, .keep = false, .seeds = {seed}})};
}

Outcome together(const Layer& layer) {
  return run(layer, [&](const Tensors& in, const BatchNormOptions& options) {
    return conv2d_batch_norm(in[0], in[1], layer.conv, in[2], in[3], in[4], options);
  });
}

Outcome apart(const Layer& layer) {
  return run(layer, [&](const Tensors& in, const BatchNormOptions& options) {
    return batch_norm(conv2d(in[0], in[1], layer.conv), in[2], in[3], in[4], options);
  });
}

class ConvBatchNorm : public testing::TestWithParam<Layer> {
  const WithChoices own_kernels_{device_under_test(), {.cuda_conv = CudaConv::cuda}};
};

TEST_P(ConvBatchNorm, EqualsConvolutionThenBatchNorm) {
  const Layer& layer = GetParam();
  const Outcome fused = together(layer), plain = apart(layer);
  EXPECT_LE(relative_error(fused.result.mean.values(), plain.result.mean.values()), 1e-6);
  EXPECT_LE(relative_error(fused.result.rstd.values(), plain.result.rstd.values()), 1e-6);
  EXPECT_LE(relative_error(fused.result.y.values(), plain.result.y.values()), 1e-3);
  ASSERT_EQ(fused.gradients.size(), plain.gradients.size());
  for (std::size_t i = 0; i < fused.gradients.size(); ++i)
    EXPECT_LE(relative_error(fused.gradients[i].values(), plain.gradients[i].values()), 5e-3) << "gradient " << i;
}

TEST_P(ConvBatchNorm, RunsTogetherWhereTilesFitTheGroups) {
  const Layer& layer = GetParam();
  const Tensors in = inputs_of(layer);
  Backend& device = device_under_test();
  const Tensor plain = conv2d(in[0], in[1], layer.conv), raw = zeros_like(plain), y = zeros_like(plain);
  const Tensor mean = empty(device, {layer.groups, layer.out}), rstd = empty_like(mean);
  const auto done = [&] {
    return device.conv2d_batch_norm(layer.conv_shape(), in[0].array(), in[1].array(), raw.array(), layer.norm_shape(),
                                    {.gamma = in[2].array(),
                                     .beta = in[3].array(),
                                     .add = in[4].array(),
                                     .mean = mean.array(),
                                     .rstd = rstd.array(),
                                     .y = y.array()});
  };
  EXPECT_EQ(done(), layer.fits);
  EXPECT_EQ(raw.values(), layer.fits ? plain.values() : zeros_like(plain).values());
  const WithChoices library(device, {.cuda_conv = CudaConv::cudnn});
  EXPECT_FALSE(done()) << "the library's convolution leaves no statistics";
}

TEST_P(ConvBatchNorm, IsAskedOfTheDeviceAndRecordedAsBoth) {
  const Layer& layer = GetParam();
  FusionCounts device(device_under_test());
  const Tensors in = inputs_of(layer, device);
  const OpNames names;
  conv2d_batch_norm(in[0], in[1], layer.conv, in[2], in[3], in[4], {.groups = layer.groups, .relu = layer.relu});
  EXPECT_EQ(device.norms, layer.fits ? 1 : 0);
  EXPECT_EQ(names.seen(), (std::set<std::string>{"conv2d", "batch_norm"}));
  EXPECT_TRUE(device.problems().empty());
}

INSTANTIATE_TEST_SUITE_P(
    Layers, ConvBatchNorm,
    testing::Values(
        Layer{"3x3, two groups", 4, 8, 16, 24, 3, {.padding = 1}, 2, true, false, true, true},
        Layer{"3x3 of stride 2, added", 4, 16, 8, 72, 3, {.stride = 2, .padding = 1}, 2, true, true, true, true},
        Layer{"1x1, added, one group, a part of a tile", 3, 9, 24, 16, 1, {}, 1, true, true, true, true},
        Layer{"1x1, odd channels, no scale", 2, 16, 8, 13, 1, {}, 2, false, false, false, true},
        Layer{
            "1x1 of stride 2, groups that tiles straddle", 2, 20, 8, 16, 1, {.stride = 2}, 2, true, true, true, false},
        Layer{"3x3, groups of less than a tile", 4, 4, 8, 16, 3, {.padding = 1}, 2, true, false, true, false}),
    [](const auto& info) { return "Case" + std::to_string(info.index); });

TEST(ConvBatchNormElsewhere, CanBeRecorded) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  Backend& device = device_under_test();
  const Shape images{2, 16, 16, 8};
  const Tensor x = random_tensor("x", images, DType::bf16), next = random_tensor("next", images, DType::bf16);
  const Tensor w = random_tensor("w", {16, 3, 3, 8}, DType::f32);
  const auto forward = [&](const Tensor& in) {
    return conv2d_batch_norm(in, w, {.padding = 1}, {}, {}, {}, {.groups = 2, .relu = true});
  };
  const BatchNormResult expected = forward(next);
  device.begin_recording();
  const BatchNormResult noted = forward(x);
  const std::unique_ptr<Recording> recording = device.end_recording();
  assign(x, next);
  recording->replay();
  EXPECT_EQ(noted.y.values(), expected.y.values());
  EXPECT_EQ(noted.mean.values(), expected.mean.values());
}

/// Types and channels that the kernel lacks: nothing is done together, and nothing fails.
TEST(ConvBatchNormElsewhere, FallsBack) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  Backend& device = device_under_test();
  for (const auto& [type, channels] : {std::pair{DType::f32, 8}, std::pair{DType::bf16, 3}}) {
    const Tensor x = random_tensor("x", {2, 8, 8, channels}, type);
    const Tensor w = random_tensor("w", {8, 3, 3, channels}, DType::f32);
    const ConvOptions conv{.padding = 1};
    const BatchNormOptions options{.groups = 1, .relu = true};
    const BatchNormResult fused = conv2d_batch_norm(x, w, conv, {}, {}, {}, options);
    const BatchNormResult plain = batch_norm(conv2d(x, w, conv), {}, {}, {}, options);
    EXPECT_EQ(fused.y.values(), plain.y.values());
    EXPECT_EQ(fused.rstd.values(), plain.rstd.values());
    ConvShape shape;
    shape.batch = 2, shape.in_height = shape.in_width = 8, shape.in_channels = channels, shape.out_channels = 8;
    shape.kernel_height = shape.kernel_width = 3, shape.padding = 1;
    NormShape norm;
    norm.rows = 128, norm.channels = 8, norm.relu = true;
    const Tensor raw = empty_like(plain.y), y = empty_like(plain.y), mean = empty_like(plain.mean),
                 rstd = empty_like(plain.mean);
    EXPECT_FALSE(device.conv2d_batch_norm(shape, x.array(), w.array(), raw.array(), norm,
                                          {.mean = mean.array(), .rstd = rstd.array(), .y = y.array()}));
  }
}

}  // namespace
}  // namespace vergence::test
