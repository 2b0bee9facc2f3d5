// What only wide embeddings or large batches reach, on the GPU against the CPU: the larger tiles of the
// cross-correlation loss, in both forms whatever the rule would choose, and the stored scores of InfoNCE.
#include <cmath>
#include <gtest/gtest.h>

#include "tests/device/device_under_test.h"
#include "tests/op_table/runner.h"
#include "tests/support/with_choices.h"

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

/// log_p, lse and the gradient.
std::vector<Values> info_nce_and_gradient(Backend& device, const InfoNceShape& shape, DType dtype) {
  const Shape whole{shape.rows, shape.width};
  Values of_u = normal_values("u", 0, whole.size());
  for (double& value : of_u) value = static_cast<double>(static_cast<float>(value / std::sqrt(shape.width)));
  Values of_g = normal_values("g", 0, shape.rows);
  for (double& value : of_g) value = static_cast<double>(static_cast<float>(value));
  const Tensor u = from_values(device, whole, of_u, dtype), g = from_values(device, {shape.rows}, of_g, dtype);
  const Tensor log_p = empty_like(g), lse = empty_like(g), gu = empty_like(u);
  device.info_nce(shape, u.array(), log_p.array(), lse.array());
  device.info_nce_backward(shape, g.array(), u.array(), lse.array(), gu.array());
  return {log_p.values(), lse.values(), gu.values()};
}

void check_stored_scores(const InfoNceShape& shape) {
  const auto exact = info_nce_and_gradient(cpu_backend(), shape, DType::f64);
  for (const CudaMath math : {CudaMath::fp32, CudaMath::tf32_products}) {
    SCOPED_TRACE(static_cast<int>(math));
    const WithChoices with(device_under_test(), {.math = math});
    const auto single = info_nce_and_gradient(device_under_test(), shape, DType::f32);
    EXPECT_LE(relative_error(single[0], exact[0]), 2e-6);
    EXPECT_LE(relative_error(single[1], exact[1]), 2e-6);
    EXPECT_LE(relative_error(single[2], exact[2]), math == CudaMath::fp32 ? 1e-5 : 2e-3);
  }
  const auto wide = info_nce_and_gradient(device_under_test(), shape, DType::f64);
  for (std::size_t i = 0; i < wide.size(); ++i) EXPECT_LE(relative_error(wide[i], exact[i]), 1e-12) << "result " << i;
}

TEST(InfoNceKernels, StoredScoresAgreeWithTheCpu) {
  check_stored_scores({1, 518, 19, 0.2});
  check_stored_scores({1, 512, 64, 0.1});
}

}  // namespace
}  // namespace vergence::test
