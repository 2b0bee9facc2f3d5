// The larger tiles of the cross-correlation loss, which only wide embeddings or large batches reach: on the GPU
// against the CPU, in both forms whatever the rule would choose.
#include <gtest/gtest.h>

#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"

namespace vergence::test {
namespace {

/// Both sums, c_ii, the factor (direct form) and the gradient.
std::vector<Values> loss_and_gradient(Backend& device, const CrossCorrelationShape& shape, DType dtype) {
  const Shape both{2 * shape.rows, shape.cols};
  const Tensor z = from_values(device, both, normal_values("z", 0, both.size()), dtype);
  const Tensor diagonal = empty(device, {}, dtype), off_diagonal = empty_like(diagonal), gz = empty_like(z),
               c_ii = empty(device, {shape.cols}, dtype), alpha = full(device, {}, 0.7, dtype),
               beta = full(device, {}, 0.3, dtype),
               factor = shape.gram ? Tensor{} : empty(device, {shape.cols, shape.cols}, dtype);
  device.cross_correlation_loss(shape, z.array(), diagonal.array(), off_diagonal.array(), c_ii.array(), factor.array());
  device.cross_correlation_loss_backward(shape, alpha.array(), beta.array(), z.array(), c_ii.array(), factor.array(),
                                         gz.array());
  return {diagonal.values(), off_diagonal.values(), c_ii.values(), factor ? factor.values() : Values{}, gz.values()};
}

TEST(CrossCorrelationKernels, TilesOfEverySizeAgreeWithTheCpu) {
  const std::vector<std::pair<CrossCorrelationShape, DType>> cases = {
      {{3, 1412, false}, DType::f32},  // 128 x 128
      {{19, 710, false}, DType::f32},  // 64 x 64
      {{5, 710, false}, DType::f64},  {{1925, 3, true}, DType::f32},
      {{965, 18, true}, DType::f32},  {{965, 3, true}, DType::f64},
  };
  for (const auto& [shape, dtype] : cases) {
    SCOPED_TRACE(join(shape.rows, " x ", shape.cols, " ", name_of(dtype)));
    const auto gpu = loss_and_gradient(device_under_test(), shape, dtype),
               cpu = loss_and_gradient(cpu_backend(), shape, dtype);
    for (std::size_t i = 0; i < cpu.size(); ++i)
      EXPECT_LE(relative_error(gpu[i], cpu[i]), dtype == DType::f64 ? 1e-12 : 1e-5) << "result " << i;
  }
}

TEST(CrossCorrelationKernels, TheFactorIsOptional) {
  const CrossCorrelationShape shape{9, 7, false};
  const Tensor z = from_values(device_under_test(), {18, 7}, normal_values("z", 0, 126));
  const Tensor diagonal = empty(device_under_test(), {}, DType::f64), off_diagonal = empty_like(diagonal),
               c_ii = empty(device_under_test(), {7}, DType::f64);
  device_under_test().cross_correlation_loss(shape, z.array(), diagonal.array(), off_diagonal.array(), c_ii.array(),
                                             {});
  const auto whole = loss_and_gradient(cpu_backend(), shape, DType::f64);
  EXPECT_LE(relative_error(diagonal.values(), whole[0]), 1e-12);
  EXPECT_LE(relative_error(off_diagonal.values(), whole[1]), 1e-12);
}

}  // namespace
}  // namespace vergence::test
