// A batch without images: its statistics are those of zeros, and every gradient of a parameter is zero, not what lay in
// the memory before.
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

Values zeros(std::int64_t count) { return Values(static_cast<std::size_t>(count), 0.0); }

class EmptyBatch : public testing::TestWithParam<DType> {
 protected:
  Tensor none(const Shape& shape) const { return leaf(full(device_, shape, 0, GetParam())); }
  Tensor ones(const Shape& shape) const { return leaf(full(device_, shape, 1, master_of(GetParam()))); }

  Backend& device_ = device_under_test();
};

TEST_P(EmptyBatch, HasStatisticsOfZerosAndNoGradients) {
  const Tensor x = none({0, 2, 2, 8}), gamma = ones({8}), beta = ones({8});
  const BatchNormResult norm = batch_norm(x, gamma, beta, {}, {.epsilon = 0.25});
  EXPECT_EQ(norm.mean.values(), zeros(8));
  EXPECT_EQ(norm.rstd.values(), Values(8, 2.0));
  const Tensors first = grad({norm.y}, {x, gamma, beta}, {.create = true, .seeds = {none({0, 2, 2, 8})}});
  EXPECT_EQ(first[0].shape, x.shape);
  EXPECT_EQ(first[1].values(), zeros(8));
  EXPECT_EQ(first[2].values(), zeros(8));
  const Tensors cotangents{none({0, 2, 2, 8}), full(device_, {8}, 1, master_of(GetParam()))};
  EXPECT_EQ(grad({first[0], first[1]}, {gamma}, {.seeds = cotangents})[0].values(), zeros(8));
}

TEST_P(EmptyBatch, GivesConvolutionsNoGradient) {
  for (const std::int64_t in : {8, 16, 64}) {  // 8: bf16 has a kernel of its own for so few channels
    const Tensor w = ones({64, 3, 3, in});
    const Tensor y = conv2d(none({0, 8, 8, in}), w, {.padding = 1});
    EXPECT_EQ(grad({y}, {w}, {.seeds = {none({0, 8, 8, 64})}})[0].values(), zeros(w.size())) << in;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, EmptyBatch, testing::Values(DType::f64, DType::f32, DType::bf16),
                         [](const auto& test) { return std::string(name_of(test.param)); });

}  // namespace
}  // namespace vergence::test
