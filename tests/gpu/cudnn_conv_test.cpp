// cuDNN's convolutions at the sizes of a training step, where it takes other engines than at those of the op table:
// beside our own kernels, and beside plain f32 convolutions of the same, rounded operands. ResNet-18's eleven shapes.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/ops/ops.h"
#include "kernels/conv_record.h"
#include "kernels/random.h"
#include "tests/device/device_under_test.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

constexpr double tolerance = 3e-2;

/// Uniform in [-1, 1), rounded to bf16, on the device; repeats itself after about a million values.
Tensor noise(std::int64_t size, std::uint64_t seed) {
  Random random(seed, Purpose::test);
  std::vector<float> values(static_cast<std::size_t>(size));
  constexpr std::size_t period = 1000003;
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < period ? random.uniform(-1, 1) : values[i - period];
  return cast(from_floats(device_under_test(), {size}, values), DType::bf16);
}

double norm(const Tensor& x) {
  const Tensor square = empty(device_under_test(), {1});
  device_under_test().reduce(Reduce::dot, Along::cols, 1, x.size(), x.array(), x.array(), square.array());
  return std::sqrt(square.item());
}

/// |a - b| / |b|, of f32 tensors.
double difference(const Tensor& a, const Tensor& b) {
  const Tensor left = empty_like(a);
  device_under_test().map(Map::add, 1, a.size(), {a.array()}, {b.array()}, 1, -1, left.array());
  return norm(left) / norm(b);
}

/// The result in f32, computed in the operands' type; a weight gradient is f32 already. add: to noise, but for that
/// one.
Tensor result_of(CudaConv conv, const ConvShape& s, ConvPass pass, const Tensor& x, const Tensor& w, const Tensor& y,
                 bool add = false) {
  Backend& device = device_under_test();
  const WithChoices with(device, {.cuda_conv = conv, .weight_gradients = DType::bf16});
  const auto made = [&](std::int64_t size, DType type) {
    return add ? cast(noise(size, 4), type) : empty(device, {size}, type);
  };
  const Tensor out = pass == ConvPass::forward ? made(s.out_size(), x.dtype)
                     : pass == ConvPass::data  ? made(s.in_size(), x.dtype)
                                               : made(s.weight_size(), DType::f32);
  if (pass == ConvPass::forward) device.conv2d(s, x.array(), w.array(), out.array(), add);
  if (pass == ConvPass::data) device.conv2d_data(s, y.array(), w.array(), out.array(), add);
  if (pass == ConvPass::weight) device.conv2d_weight(s, x.array(), y.array(), out.array());
  return cast(out, DType::f32);
}

class CudnnConv : public testing::TestWithParam<ConvShape> {
 protected:
  void SetUp() override {
    if (device_under_test().convolutions_by(DType::bf16).rfind("cuDNN", 0) != 0)
      GTEST_SKIP() << device_under_test().convolutions_by(DType::bf16);
  }
  void TearDown() override { forget_convs(); }
};

TEST_P(CudnnConv, AgreesWithOurOwnKernelsAndWithF32) {
  const ConvShape& s = GetParam();
  const Tensor x = noise(s.in_size(), 1), w = noise(s.weight_size(), 2), y = noise(s.out_size(), 3);
  const Tensors wide{cast(x, DType::f32), cast(w, DType::f32), cast(y, DType::f32)};
  for (const ConvPass pass : {ConvPass::forward, ConvPass::data, ConvPass::weight}) {
    if (pass == ConvPass::data && s.in_channels == 8) continue;  // images need no gradient
    SCOPED_TRACE(text_of_conv(s, pass, DType::bf16));
    forget_convs();
    const Tensor library = result_of(CudaConv::cudnn, s, pass, x, w, y);
    EXPECT_EQ(convs_in_short(), "1 by cuDNN");
    const Tensor own = result_of(CudaConv::cuda, s, pass, x, w, y),
                 exact = result_of(CudaConv::cuda, s, pass, wide[0], wide[1], wide[2]);
    EXPECT_LE(difference(library, own), tolerance);
    EXPECT_LE(difference(library, exact), tolerance);
    EXPECT_LE(difference(own, exact), tolerance);
    if (pass == ConvPass::weight) continue;
    EXPECT_LE(difference(result_of(CudaConv::cudnn, s, pass, x, w, y, true),
                         exact + cast(noise(exact.size(), 4), DType::f32)),
              tolerance);
  }
}

INSTANTIATE_TEST_SUITE_P(
    ResNet18, CudnnConv,
    testing::Values(ConvShape{1024, 32, 32, 8, 64, 3, 3, 1, 1}, ConvShape{1024, 32, 32, 64, 64, 3, 3, 1, 1},
                    ConvShape{1024, 32, 32, 64, 128, 3, 3, 2, 1}, ConvShape{1024, 32, 32, 64, 128, 1, 1, 2, 0},
                    ConvShape{1024, 16, 16, 128, 128, 3, 3, 1, 1}, ConvShape{1024, 16, 16, 128, 256, 3, 3, 2, 1},
                    ConvShape{1024, 16, 16, 128, 256, 1, 1, 2, 0}, ConvShape{1024, 8, 8, 256, 256, 3, 3, 1, 1},
                    ConvShape{1024, 8, 8, 256, 512, 3, 3, 2, 1}, ConvShape{1024, 8, 8, 256, 512, 1, 1, 2, 0},
                    ConvShape{1024, 4, 4, 512, 512, 3, 3, 1, 1}),
    [](const auto& info) {
      const ConvShape& s = info.param;
      return join("c", s.in_channels, "to", s.out_channels, "k", s.kernel_height, "s", s.stride, "at", s.in_height);
    });

}  // namespace
}  // namespace vergence::test
