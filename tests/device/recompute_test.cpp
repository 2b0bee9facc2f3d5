// Batch norms whose results are computed again in the backward pass: the same bits, in less memory.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/checked_backend.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

/// Counts the batch norms that are computed, and those with known statistics among them.
class CountingBackend final : public CheckedBackend {
 public:
  using CheckedBackend::CheckedBackend;
  int norms = 0, again = 0;

  void batch_norm(const NormShape& shape, const BatchNormArrays& arrays) override {
    ++norms;
    again += shape.training ? 0 : 1;
    CheckedBackend::batch_norm(shape, arrays);
  }
};

/// A stem, a block whose other path is the identity, one that is halved by a convolution, and pooling.
struct Network {
  Backend& device;
  DType type;
  bool recompute;
  Tensors leaves;

  Tensor random(const char* name, const Shape& shape, DType dtype) {
    return from_values(device, shape, normal_values(name, leaves.size(), shape.size()), dtype);
  }
  Tensor parameter(const char* name, const Shape& shape) {
    leaves.push_back(leaf(random(name, shape, type == DType::f64 ? DType::f64 : DType::f32)));
    return leaves.back();
  }
  Tensor layer(const Tensor& x, std::int64_t out, std::int64_t kernel, std::int64_t stride, const Tensor& add,
               bool relu) {
    const Tensor w = parameter("w", {out, kernel, kernel, x.cols()});
    const Tensor gamma = parameter("gamma", {out}), beta = parameter("beta", {out});
    BatchNormOptions norm{.groups = 2, .relu = relu};
    norm.recompute = recompute;
    return conv2d_batch_norm(x, w, {.stride = stride, .padding = kernel / 2}, gamma, beta, add, norm).y;
  }
  Tensor operator()(const Shape& images) {
    Tensor x = layer(random("x", images, type), 16, 3, 1, {}, true);
    for (int block = 0; block < 3; ++block) x = layer(layer(x, 16, 3, 1, {}, true), 16, 3, 1, x, true);
    const Tensor inner = layer(x, 16, 3, 2, {}, true), halved = layer(x, 16, 1, 2, {}, false);
    return global_average_pool(layer(inner, 16, 3, 1, halved, true), master_of(type));
  }
};

struct Outcome {
  std::vector<Values> gradients, second;
  std::int64_t kept = 0;  // bytes, between the passes
  int norms = 0, again = 0;
  std::vector<std::string> problems;
};

/// The gradients of a recorded backward pass, or with `second` also those of its product with random directions.
Outcome train(Backend& real, DType type, bool recompute, bool second) {
  CountingBackend device(real);
  Outcome outcome;
  {
    Network network{device, type, recompute, {}};
    const std::int64_t before = real.memory().used;
    const Tensor y = network(second ? Shape{2, 8, 8, 8} : Shape{4, 16, 16, 8});
    outcome.kept = real.memory().used - before;
    const Tensor seed = leaf(network.random("seed", y.shape, y.dtype));
    const Tensors gradients = grad({y}, network.leaves, {.create = second, .seeds = {seed}});
    for (const Tensor& g : gradients) outcome.gradients.push_back(g.values());
    if (second) {
      Tensors directions;
      for (const Tensor& g : gradients) directions.push_back(network.random("direction", g.shape, g.dtype));
      Tensors wanted = network.leaves;
      wanted.push_back(seed);
      for (const Tensor& g : grad(gradients, wanted, {.seeds = directions})) outcome.second.push_back(g.values());
    }
  }
  outcome.norms = device.norms, outcome.again = device.again, outcome.problems = device.problems();
  return outcome;
}

class Recompute : public testing::TestWithParam<DType> {
  const WithChoices own_kernels_{device_under_test(), {.cuda_conv = CudaConv::cuda}};
};

TEST_P(Recompute, GivesTheSameBitsInLessMemory) {
  for (Backend* device : {&device_under_test(), &cpu_backend()}) {
    SCOPED_TRACE(device->name());
    const Outcome kept = train(*device, GetParam(), false, false), again = train(*device, GetParam(), true, false);
    EXPECT_EQ(again.gradients, kept.gradients);
    EXPECT_EQ(kept.again, 0);
    // Each is computed again once; where masks are kept as bits, not the last and what it adds, which nothing reads.
    EXPECT_EQ(again.again, device->traits().relu_bits ? 8 : 10);
    EXPECT_LT(static_cast<double>(again.kept), 0.75 * static_cast<double>(kept.kept));
    EXPECT_TRUE(again.problems.empty()) << again.problems.at(0);
  }
}

TEST_P(Recompute, GivesTheSameBitsInASecondPass) {
  for (Backend* device : {&device_under_test(), &cpu_backend()}) {
    SCOPED_TRACE(device->name());
    const Outcome kept = train(*device, GetParam(), false, true), again = train(*device, GetParam(), true, true);
    EXPECT_EQ(again.gradients, kept.gradients);
    EXPECT_EQ(again.second, kept.second);
    EXPECT_TRUE(again.problems.empty()) << again.problems.at(0);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Recompute, testing::Values(DType::f64, DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

/// What somebody still holds is not computed a second time.
TEST(RecomputedNorm, TakesTheFirstResultWhileItIsThere) {
  CountingBackend device(device_under_test());
  const Tensor x = from_values(device, {8, 16}, normal_values("x", 0, 128), DType::f32);
  const Tensor w = leaf(from_values(device, {4, 16}, normal_values("w", 0, 64), DType::f32));
  const Tensor gamma = leaf(full(device, {16}, 1)), beta = leaf(zeros(device, {16}));
  BatchNormOptions norm{.relu = true};
  norm.recompute = true;
  for (const bool held : {true, false}) {
    Tensor y = batch_norm(x, gamma, beta, {}, norm).y;
    const Tensor z = matmul(y, w, false, true);
    if (!held) y = {};
    device.again = 0;
    const Tensor seed = full(device, z.shape, 1);
    EXPECT_EQ(grad({z}, {w}, {.seeds = {seed}})[0].shape, w.shape);
    EXPECT_EQ(device.again, held ? 0 : 1);
  }
}

/// Also where the next batch norm's input has to be there for a convolution's data gradient, which gathers its sums.
TEST(RecomputedNorm, GivesTheSameBitsBeforeAnotherOne) {
  const WithChoices own_kernels(device_under_test(), {.cuda_conv = CudaConv::cuda});
  Backend& device = device_under_test();
  const Shape images{4, 8, 8, 8};
  const Tensor x = leaf(from_values(device, images, normal_values("x", 0, images.size()), DType::bf16));
  const Tensor w = from_values(device, {8, 1, 1, 8}, normal_values("w", 0, 64), DType::f32);
  const Tensor gamma = leaf(full(device, {8}, 1)), beta = leaf(zeros(device, {8}));
  const Tensor seed = from_values(device, images, normal_values("seed", 0, images.size()), DType::bf16);
  const auto gradients = [&](bool recompute) {
    BatchNormOptions norm{.groups = 2, .relu = true};
    norm.recompute = recompute;
    const Tensor y = conv2d(batch_norm(batch_norm(x, {}, {}, {}, norm).y, gamma, beta, {}, norm).y, w);
    std::vector<Values> found;
    for (const Tensor& g : grad({y}, {x, gamma, beta}, {.seeds = {seed}})) found.push_back(g.values());
    return found;
  };
  EXPECT_EQ(gradients(true), gradients(false));
}

}  // namespace
}  // namespace vergence::test
