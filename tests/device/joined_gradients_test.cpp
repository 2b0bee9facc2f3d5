// Where two paths meet in a residual block their cotangents are added: by the convolution's kernel, into what the other
// path has left, instead of by a pass of its own. In a second backward pass that happens at every convolution.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/checked_backend.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

/// Counts the sums of two tensors, and the convolutions that add to what is there, where they may.
class WatchedBackend final : public CheckedBackend {
 public:
  WatchedBackend(Backend& real, bool may_join) : CheckedBackend(real), may_join_(may_join) {}
  int sums = 0, joins = 0, masked_joins = 0, forward_joins = 0;

  void map(Map op, std::int64_t rows, std::int64_t cols, Operand a, Operand b, double alpha, double beta,
           Array out) override {
    sums += op == Map::add ? 1 : 0;
    CheckedBackend::map(op, rows, cols, a, b, alpha, beta, out);
  }
  DeviceTraits traits() const override {
    DeviceTraits traits = CheckedBackend::traits();
    traits.adds_convolutions = traits.adds_convolutions && may_join_;
    return traits;
  }
  void conv2d(const ConvShape& shape, ConstArray x, ConstArray w, Array y, bool add) override {
    forward_joins += add ? 1 : 0;
    CheckedBackend::conv2d(shape, x, w, y, add);
  }
  void conv2d_data(const ConvShape& shape, ConstArray g, ConstArray w, Array dx, bool add) override {
    joins += add ? 1 : 0;
    CheckedBackend::conv2d_data(shape, g, w, dx, add);
  }
  bool conv2d_data_relu(const ConvShape& conv, const NormShape& norm, const ConvDataReluArrays& arrays,
                        bool add) override {
    const bool done = CheckedBackend::conv2d_data_relu(conv, norm, arrays, add);
    masked_joins += done && add ? 1 : 0;
    return done;
  }

 private:
  bool may_join_;
};

/// A stem, a block whose other path is the identity, one that is halved by a convolution, and a reader.
struct Network {
  WatchedBackend& device;
  DType type;
  Tensors leaves;

  Tensor parameter(const char* name, const Shape& shape) {
    const DType master = type == DType::f64 ? DType::f64 : DType::f32;
    leaves.push_back(leaf(from_values(device, shape, normal_values(name, leaves.size(), shape.size()), master)));
    return leaves.back();
  }
  Tensor layer(const Tensor& x, std::int64_t out, std::int64_t kernel, std::int64_t stride, const Tensor& add,
               bool relu) {
    const Tensor w = parameter("w", {out, kernel, kernel, x.cols()});
    const Tensor gamma = parameter("gamma", {out}), beta = parameter("beta", {out});
    return conv2d_batch_norm(x, w, {.stride = stride, .padding = kernel / 2}, gamma, beta, add,
                             {.groups = 2, .relu = relu})
        .y;
  }
  Tensor operator()() {
    const Shape images{4, 16, 16, 8};
    leaves.push_back(leaf(from_values(device, images, normal_values("x", 0, images.size()), type)));
    const Tensor x = leaves.back(), stem = layer(x, 8, 3, 1, {}, true);
    const Tensor first = layer(layer(stem, 8, 3, 1, {}, true), 8, 3, 1, stem, true);
    const Tensor inner = layer(first, 16, 3, 2, {}, true), halved = layer(first, 16, 1, 2, {}, false);
    return layer(inner, 16, 3, 1, halved, true);
  }
};

struct Gradients {
  Tensors values;
  int sums, joins, masked_joins, forward_joins;
  std::vector<std::string> problems;
};

/// Of the network, or with `second` of the product of its recorded gradient, images left out, and random directions.
Gradients gradients_of(Backend& real, DType type, bool may_join, bool second = false) {
  WatchedBackend device(real, may_join);
  Gradients found;
  {
    Network network{device, type, {}};
    const Tensor y = network();
    const auto random = [&](const Tensor& like, const char* name) {
      return from_values(device, like.shape, normal_values(name, 0, like.size()), like.dtype);
    };
    const Tensor seed = leaf(random(y, "seed"));
    device.sums = 0;
    Tensors gradients = grad({y}, network.leaves, {.create = second, .keep = false, .seeds = {seed}});
    if (second) {
      const Tensors weights(gradients.begin() + 1, gradients.end());
      Tensors directions;
      for (const Tensor& g : weights) directions.push_back(random(g, "direction"));
      gradients = grad(weights, {seed}, {.seeds = directions});
    }
    for (const Tensor& g : gradients)
      found.values.push_back(from_values(cpu_backend(), g.shape, g.values(), DType::f64));
  }
  found.sums = device.sums, found.joins = device.joins, found.masked_joins = device.masked_joins;
  found.forward_joins = device.forward_joins, found.problems = device.problems();
  return found;
}

class JoinedGradients : public testing::TestWithParam<DType> {
  const WithChoices own_kernels_{device_under_test(), {.cuda_conv = CudaConv::cuda}};
};

TEST_P(JoinedGradients, AreAddedByTheDataGradient) {
  const DType type = GetParam();
  const Gradients in_place = gradients_of(device_under_test(), type, true);
  const Gradients apart = gradients_of(device_under_test(), type, false);
  EXPECT_EQ(in_place.sums, 0);
  EXPECT_EQ(in_place.joins + in_place.masked_joins, 2);
  EXPECT_EQ(in_place.masked_joins, type == DType::bf16 ? 2 : 0) << "both end in a batch norm with ReLU";
  EXPECT_EQ(apart.sums, 2);
  EXPECT_EQ(apart.joins + apart.masked_joins, 0);
  EXPECT_TRUE(in_place.problems.empty());
  ASSERT_EQ(in_place.values.size(), apart.values.size());
  const double tolerance = type == DType::f64 ? 1e-12 : type == DType::f32 ? 1e-5 : 1e-2;
  for (std::size_t i = 0; i < apart.values.size(); ++i)
    EXPECT_LE(relative_error(in_place.values[i].values(), apart.values[i].values()), tolerance) << "gradient " << i;
}

/// Of a second backward pass: the recorded one joins where paths meet, the other at each convolution behind the first.
TEST_P(JoinedGradients, AreAddedInASecondPassToo) {
  const DType type = GetParam();
  const Gradients in_place = gradients_of(device_under_test(), type, true, true);
  const Gradients apart = gradients_of(device_under_test(), type, false, true);
  EXPECT_EQ(apart.joins + apart.forward_joins, 0);
  EXPECT_GE(in_place.joins, 2);
  EXPECT_GE(in_place.forward_joins, 5);
  EXPECT_EQ(in_place.sums + in_place.joins + in_place.forward_joins, apart.sums);
  EXPECT_TRUE(in_place.problems.empty());
  ASSERT_EQ(in_place.values.size(), apart.values.size());
  const double tolerance = type == DType::f64 ? 1e-12 : type == DType::f32 ? 1e-5 : 2e-2;
  for (std::size_t i = 0; i < apart.values.size(); ++i)
    EXPECT_LE(relative_error(in_place.values[i].values(), apart.values[i].values()), tolerance) << "gradient " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, JoinedGradients, testing::Values(DType::f64, DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

/// A device that gains nothing by it is not asked to.
TEST(JoinedGradientsElsewhere, AreSumsOnTheCpu) {
  const Gradients cpu = gradients_of(cpu_backend(), DType::f32, true);
  EXPECT_EQ(cpu.sums, 2);
  EXPECT_EQ(cpu.joins, 0);
}

/// The masked cotangent of a batch norm also goes to what it adds: there its sums mean nothing.
TEST(JoinedGradientsElsewhere, SumsStayWithTheirBatchNorm) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  const auto gradients = [](bool watch) {
    WatchedBackend device(device_under_test(), true);
    Network network{device, DType::bf16, {}};
    const Shape images{4, 16, 16, 8};
    const Tensor x = leaf(from_values(device, images, normal_values("x", 0, images.size()), DType::bf16));
    const Tensor added = network.layer(x, 8, 1, 1, {}, false);
    const Tensor between = network.layer(x, 8, 1, 1, added, true);
    const Tensor y = conv2d(between, network.parameter("w", {8, 1, 1, 8}));
    const Tensor seed = from_values(device, y.shape, normal_values("seed", 0, y.size()), DType::bf16);
    Tensors wanted = network.leaves;
    if (watch) wanted.push_back(between);  // asked for as it is, so that it is not masked
    std::vector<Values> values;
    for (const Tensor& g : grad({y}, wanted, {.seeds = {seed}})) values.push_back(g.values());
    return values;
  };
  const std::vector<Values> together = gradients(false), apart = gradients(true);
  for (std::size_t i = 0; i < together.size(); ++i)
    EXPECT_LE(relative_error(together[i], apart[i]), 1e-2) << "gradient " << i;
}

}  // namespace
}  // namespace vergence::test
