// Convolutions with and without a library: which one computes them, what is reported, and what is refused.
#include <gtest/gtest.h>

#include "engine/tensor.h"
#include "kernels/conv_record.h"
#include "kernels/cuda/emulated/backend.h"
#include "kernels/cuda/emulated/stand_in_library.h"
#include "tests/support/complaints.h"
#include "tests/support/with_choices.h"

namespace vergence::emulated {
namespace {

constexpr ConvShape shape{2, 6, 6, 16, 16, 3, 3, 1, 1};

class Library : public testing::Test {
 protected:
  ~Library() override {
    stand_in_library() = {};
    forget_convs();
  }

  Backend& gpu = emulated_backend();
};

Tensor ones(const Shape& shape, DType dtype) { return full(emulated_backend(), shape, 1, dtype); }

/// y of images and weights that are all 1: in the middle, the number of taps x channels.
Tensor forward() {
  const Tensor x = ones({2, 6, 6, 16}, DType::bf16), w = ones({16, 3, 3, 16}, DType::f32);
  Tensor y = empty(emulated_backend(), {2, 6, 6, 16}, DType::bf16);
  emulated_backend().conv2d(shape, x.array(), w.array(), y.array());
  return y;
}

TEST_F(Library, ThatIsThereIsNamed) {
  stand_in_library().state = {true, "cuDNN 9.99"};
  EXPECT_EQ(gpu.convolutions_by(DType::bf16), "cuDNN 9.99");
  EXPECT_EQ(gpu.convolutions_by(DType::f32), "own kernels");
  const test::WithChoices own_kernels(gpu, {.cuda_conv = CudaConv::cuda});
  EXPECT_EQ(gpu.convolutions_by(DType::bf16), "own kernels (--conv cuda)");
}

TEST_F(Library, ThatIsMissingIsReplacedWithOneNotice) {
  stand_in_library().state.text = "libcudnn.so.9 cannot be loaded: looked in vain";
  testing::internal::CaptureStderr();
  EXPECT_EQ(gpu.convolutions_by(DType::bf16), "own kernels (libcudnn.so.9 cannot be loaded: looked in vain)");
  EXPECT_EQ(forward().values().at(16 * 7), 9 * 16);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "notice: cuDNN: libcudnn.so.9 cannot be loaded: looked in vain; our own kernels compute the convolutions, "
            "slower\n");
}

TEST_F(Library, ThatIsMissingCannotBeAskedFor) {
  stand_in_library().state.text = "libcudnn.so.9 cannot be loaded: looked in vain";
  const test::WithChoices library(gpu, {.cuda_conv = CudaConv::cudnn});
  const std::string refusal = "--conv cudnn: libcudnn.so.9 cannot be loaded: looked in vain";
  EXPECT_EQ(message_of([&] { gpu.convolutions_by(DType::bf16); }), refusal);
  EXPECT_EQ(message_of([&] { forward(); }), refusal);
  EXPECT_EQ(gpu.convolutions_by(DType::f32), "own kernels") << "which cuDNN would not have had";
}

// For the middle tap, sums 2 x 36 products of 3 and 129/128; bf16 has eight bits.
TEST_F(Library, RoundsWeightGradientsWhereItMay) {
  stand_in_library().state = {true, "cuDNN 9.99"};
  const Tensor x = full(gpu, {2, 6, 6, 16}, 1.0078125, DType::bf16), g = full(gpu, {2, 6, 6, 16}, 3, DType::bf16);
  const double exact = 72 * 3 * 1.0078125, rounded = static_cast<double>(static_cast<float>(bf16(float(exact))));
  ASSERT_NE(exact, rounded);
  for (const bool may_round : {false, true}) {
    const test::WithChoices with(gpu, {.weight_gradients = may_round ? DType::bf16 : DType::f32});
    const Tensor dw = empty(gpu, {16, 3, 3, 16});
    gpu.conv2d_weight(shape, x.array(), g.array(), dw.array());
    EXPECT_EQ(dw.values().at(4 * 16), may_round ? rounded : exact);
  }
  EXPECT_EQ(stand_in_library().weight_gradients, (std::vector<DType>{DType::f32, DType::bf16}));
}

TEST_F(Library, LeavesOurOwnWeightGradientsUnrounded) {
  const test::WithChoices with(gpu, {.weight_gradients = DType::bf16});
  const Tensor x = full(gpu, {2, 6, 6, 16}, 1.0078125, DType::bf16), g = full(gpu, {2, 6, 6, 16}, 3, DType::bf16);
  const Tensor dw = empty(gpu, {16, 3, 3, 16});
  gpu.conv2d_weight(shape, x.array(), g.array(), dw.array());
  EXPECT_EQ(dw.values().at(4 * 16), 72 * 3 * 1.0078125);
}

TEST_F(Library, LeavesARecordOfWhatComputedWhat) {
  EXPECT_EQ(convs_in_short(), "");
  forward();
  EXPECT_EQ(convs_in_short(), "1 by own tensor-core kernels");
  stand_in_library().state = {true, "cuDNN 9.99"};
  forward();
  EXPECT_EQ(convs_in_short(), "1 by cuDNN") << "the last word counts";
  const Tensor g = ones({2, 6, 6, 16}, DType::bf16), x = ones({2, 6, 6, 3}, DType::bf16);
  const Tensor dw = empty(gpu, {16, 3, 3, 16}), dw_of_3 = empty(gpu, {16, 3, 3, 3});
  gpu.conv2d_weight(shape, g.array(), g.array(), dw.array());
  ConvShape stem = shape;
  stem.in_channels = 3;
  gpu.conv2d_weight(stem, x.array(), g.array(), dw_of_3.array());
  EXPECT_EQ(convs_in_short(), "2 by cuDNN, 1 by own plain kernels");
  EXPECT_EQ(convs_in_full(),
            "2x6x6x16 -> 16, 3x3/1+1*1, groups 1, forward, bf16: cuDNN\n"
            "2x6x6x16 -> 16, 3x3/1+1*1, groups 1, weight, bf16: cuDNN\n"
            "2x6x6x3 -> 16, 3x3/1+1*1, groups 1, weight, bf16: own plain kernels\n");
}

// Convolutions that compute a batch norm's statistics always use our own kernels.
TEST_F(Library, LeavesARecordOfConvolutionsWithBatchNorm) {
  const Tensor x = ones({2, 6, 6, 16}, DType::bf16), w = ones({16, 3, 3, 16}, DType::f32);
  const Tensor raw = empty_like(x), y = empty_like(x), mean = empty(gpu, {1, 16}), rstd = empty_like(mean);
  const NormShape norm{1, 72, 16, false, true, 1e-5};
  ASSERT_TRUE(gpu.conv2d_batch_norm(shape, x.array(), w.array(), raw.array(), norm,
                                    {.mean = mean.array(), .rstd = rstd.array(), .y = y.array()}));
  EXPECT_EQ(convs_in_short(), "1 by own tensor-core kernels");
}

TEST_F(Library, ThatIsNotExpectedGivesNoNotice) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(gpu.convolutions_by(DType::bf16), "own kernels");
  const test::WithChoices library(gpu, {.cuda_conv = CudaConv::cudnn});
  EXPECT_EQ(forward().values().at(16 * 7), 9 * 16);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace vergence::emulated
