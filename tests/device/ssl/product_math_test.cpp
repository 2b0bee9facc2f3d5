// How f32 is multiplied on a GPU: what a precision asks for, and that a device rounds operands no more than it says.
#include <cmath>
#include <gtest/gtest.h>

#include "kernels/cuda/rules.h"
#include "ssl/bench/operands.h"
#include "ssl/options/table.h"
#include "ssl/steps/setup.h"
#include "tests/device/device_under_test.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

TEST(ProductMath, IsTheOneOfThePrecision) {
  // Of a kind that tensor cores take.
  const ConvShape wide{4, 8, 8, 64, 64, 3, 3, 1, 1};
  const auto check = [&](const char* precision, CudaMath math, double rounding, CudaConvAlgorithm convolution) {
    Options options;
    set_option(options, "precision", precision);
    const KernelChoices choices = kernel_choices(options);
    const WithChoices with(device_under_test(), choices);
    EXPECT_EQ(choices.math, math) << precision;
    EXPECT_EQ(device_under_test().f32_operand_rounding(), rounding) << precision;
    EXPECT_EQ(choose_cuda_conv(wide, ConvPass::forward, DType::f32, choices), convolution) << precision;
  };
  check("fp32", CudaMath::fp32, 0, CudaConvAlgorithm::plain);
  check("bf16", CudaMath::tf32_products, 0x1p-10, CudaConvAlgorithm::plain);
  check("tf32", CudaMath::tf32, 0x1p-10, CudaConvAlgorithm::tensor);
}

TEST(ProductMath, RoundsOperandsNoMoreThanTheDeviceSays) {
  constexpr std::int64_t m = 48, n = 80, k = 512;
  Backend& device = device_under_test();
  const Tensor a = random_operand(device, m * k), b = random_operand(device, k * n), out = empty(device, {m * n});
  const std::vector<double> x = a.values(), y = b.values();
  for (const CudaMath math : {CudaMath::fp32, CudaMath::tf32_products, CudaMath::tf32}) {
    const WithChoices with(device, {.math = math});
    device.gemm(false, false, m, n, k, a.array(), b.array(), {}, out.array());
    const std::vector<double> values = out.values();
    const double rounding = device.f32_operand_rounding(), share = 2 * rounding + rounding * rounding + k * 0x1p-24;
    for (std::int64_t i = 0; i < m * n; ++i) {
      double exact = 0, size = 0;
      for (std::int64_t t = 0; t < k; ++t) {
        const double term = x[static_cast<std::size_t>(i / n * k + t)] * y[static_cast<std::size_t>(t * n + i % n)];
        exact += term;
        size += std::abs(term);
      }
      ASSERT_NEAR(values[static_cast<std::size_t>(i)], exact, share * size) << i;
    }
  }
}

}  // namespace
}  // namespace vergence::test
