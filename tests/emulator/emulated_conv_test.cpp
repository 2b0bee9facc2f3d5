// Tests the GPU's convolution kernels singly: the path of every tile, against the CPU in f64 and against each other.
#include <algorithm>
#include <cmath>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv_tuning.h"
#include "kernels/cpu/reference.h"
#include "kernels/cuda/conv/kernels.h"
#include "kernels/cuda/emulated/backend.h"
#include "kernels/cuda/rules.h"
#include "kernels/random.h"
#include "tests/support/with_choices.h"

namespace vergence::emulated {
namespace {

Device& device() {
  static Device the_device(0);
  return the_device;
}

/// Values of any type, aligned as a device's memory is.
class Memory {
 public:
  Memory(std::int64_t size, DType dtype)
      : array_{device().allocate(size * size_of(dtype)), size, dtype}, bytes_(size * size_of(dtype)) {}
  Memory(const std::vector<double>& values, DType dtype) : Memory(static_cast<std::int64_t>(values.size()), dtype) {
    with_float(dtype, [&](auto type) {
      using T = decltype(type);
      for (std::size_t i = 0; i < values.size(); ++i)
        array_.as<T>()[i] = static_cast<T>(static_cast<Compute<T>>(values[i]));
    });
  }
  ~Memory() { device().release(array_.data, bytes_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  Array array() const { return array_; }
  std::vector<double> values() const {
    std::vector<double> out;
    with_float(array_.dtype, [&](auto type) {
      using T = decltype(type);
      for (std::int64_t i = 0; i < array_.size; ++i) out.push_back(static_cast<double>(array_.as<T>()[i]));
    });
    return out;
  }

 private:
  Array array_;
  std::int64_t bytes_;
};

/// Numbers that bf16 holds exactly, so that operands are the same in every precision.
std::vector<double> draw(std::int64_t count, std::uint64_t seed) {
  Random random(seed, Purpose::test);
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<double>(static_cast<float>(bf16(random.uniform(-2, 2)))));
  return values;
}

/// The largest difference of two elements, relative to the expected element's size plus the typical size.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double squares = 0, largest = 0;
  for (const double value : b) squares += value * value;
  const double typical = std::sqrt(squares / static_cast<double>(b.size()));
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]) / (std::abs(b[i]) + typical);
    if (!(difference <= largest)) largest = difference;  // NaN as well
  }
  return largest;
}

struct Case {
  const char* name;
  std::int64_t batch, size, in, out, kernel, stride = 1, padding = 0, dilation = 1;

  ConvShape shape() const {
    ConvShape s;
    s.batch = batch, s.in_height = size, s.in_width = size + (size > 5 ? 1 : 0);
    s.in_channels = in, s.out_channels = out, s.kernel_height = s.kernel_width = kernel;
    s.stride = stride, s.padding = padding, s.dilation = dilation;
    return s;
  }
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

/// Operands and f64 results of the three passes.
struct Triple {
  ConvShape shape;
  std::vector<double> x, w, g, y, dx, dw;

  explicit Triple(const ConvShape& s)
      : shape(s), x(draw(s.in_size(), 1)), w(draw(s.weight_size(), 2)), g(draw(s.out_size(), 3)) {
    const DType type = DType::f64;
    const Memory of_x(x, type), of_w(w, type), of_g(g, type);
    const Memory of_y(s.out_size(), type), of_dx(s.in_size(), type), of_dw(s.weight_size(), type);
    plain::conv2d(s, of_x.array(), of_w.array(), of_y.array());
    plain::conv2d_data(s, of_g.array(), of_w.array(), of_dx.array());
    plain::conv2d_weight(s, of_x.array(), of_g.array(), of_dw.array());
    y = of_y.values(), dx = of_dx.values(), dw = of_dw.values();
  }
};

/// Runs a pass's two kernels on operands of the given types, and compares them with the f64 result and each other.
template <class Plain, class Tensor>
void check_pass(const ConvShape& shape, const std::vector<double>& first, DType first_type,
                const std::vector<double>& second, DType second_type, const std::vector<double>& expected, DType type,
                double tolerance, const Plain& plain_kernel, const Tensor& tensor_kernel) {
  const Memory a(first, first_type), b(second, second_type);
  const Memory by_plain(static_cast<std::int64_t>(expected.size()), type), by_tensor(by_plain.array().size, type);
  plain_kernel(device(), shape, a.array(), b.array(), by_plain.array());
  EXPECT_LT(distance(by_plain.values(), expected), tolerance);
  ASSERT_TRUE(tensor_kernel(device(), shape, a.array(), b.array(), by_tensor.array()));
  EXPECT_LT(distance(by_tensor.values(), expected), tolerance);
  EXPECT_LT(distance(by_tensor.values(), by_plain.values()), tolerance / 2);
}

void plain_conv2d_alone(Device& on, const ConvShape& shape, ConstArray x, ConstArray w, Array y) {
  plain_conv2d(on, shape, x, w, y);
}
void plain_conv2d_data_alone(Device& on, const ConvShape& shape, ConstArray g, ConstArray w, Array dx) {
  plain_conv2d_data(on, shape, g, w, dx);
}
bool conv2d_without_statistics(Device& on, const ConvShape& shape, ConstArray x, ConstArray w, Array y) {
  return tensor_conv2d(on, shape, x, w, y);
}
bool conv2d_data_without_sums(Device& on, const ConvShape& shape, ConstArray g, ConstArray w, Array dx) {
  return tensor_conv2d_data(on, shape, g, w, dx);
}

class EmulatedConv : public testing::TestWithParam<Case> {};

/// Both kernels add the data gradient to the existing values, in f32 with one rounding.
void check_sum(const Triple& t, DType type, double tolerance) {
  std::vector<double> before = draw(t.shape.in_size(), 6), expected = before;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += t.dx[i];
  const Memory g(t.g, type), w(t.w, type);
  const Memory by_plain(before, type), by_tensor(before, type);
  plain_conv2d_data(device(), t.shape, g.array(), w.array(), by_plain.array(), true);
  EXPECT_LT(distance(by_plain.values(), expected), tolerance);
  ASSERT_TRUE(tensor_conv2d_data(device(), t.shape, g.array(), w.array(), by_tensor.array(), {}, true));
  EXPECT_LT(distance(by_tensor.values(), expected), tolerance);
}

/// The forward pass through the backend: its tensor-core kernels leave adding to another kernel.
void check_forward_sum(const Triple& t, DType type, double tolerance) {
  const std::vector<double> before = draw(t.shape.out_size(), 6);
  std::vector<double> expected = before;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += t.y[i];
  const Memory x(t.x, type), w(t.w, type), by_plain(before, type), by_backend(before, type);
  plain_conv2d(device(), t.shape, x.array(), w.array(), by_plain.array(), true);
  EXPECT_LT(distance(by_plain.values(), expected), tolerance);
  emulated_backend().conv2d(t.shape, x.array(), w.array(), by_backend.array(), true);
  EXPECT_LT(distance(by_backend.values(), expected), tolerance);
}

TEST_P(EmulatedConv, KernelsAgree) {
  const Triple t(GetParam().shape());
  for (const DType type : {DType::bf16, DType::f32}) {
    const double tolerance = type == DType::bf16 ? 2e-2 : 1e-5;  // tf32 holds these operands exactly
    for (const DType master : {DType::f32, DType::bf16}) {
      if (type == DType::f32 && master == DType::bf16) continue;
      SCOPED_TRACE(join(name_of(type), " with weights in ", name_of(master)));
      const ConvShape& s = t.shape;
      check_pass(s, t.x, type, t.w, master, t.y, type, tolerance, plain_conv2d_alone, conv2d_without_statistics);
      check_pass(s, t.g, type, t.w, master, t.dx, type, tolerance, plain_conv2d_data_alone, conv2d_data_without_sums);
      check_pass(s, t.x, type, t.g, type, t.dw, master, tolerance, plain_conv2d_weight, tensor_conv2d_weight);
    }
    check_sum(t, type, type == DType::bf16 ? 5e-3 : 1e-5);
    check_forward_sum(t, type, type == DType::bf16 ? 1e-2 : 1e-5);
  }
}

// The emulated device has 4 multiprocessors: tiles of 128 channels need 4 blocks, two splits of the pixels 8.
INSTANTIATE_TEST_SUITE_P(
    Shape, EmulatedConv,
    testing::Values(Case{"narrow", 1, 13, 8, 64, 3, 1, 1}, Case{"narrow_many_splits", 4, 24, 8, 64, 3, 1, 1},
                    Case{"narrow_dilated_stride_2", 3, 11, 8, 128, 3, 2, 2, 2},
                    Case{"stem_8_channels", 1, 17, 8, 24, 3, 1, 1}, Case{"stem_7x7_stride_2", 1, 23, 8, 16, 7, 2, 3},
                    Case{"three_stages_and_tails", 1, 13, 24, 72, 3, 1, 1}, Case{"wide_tiles", 2, 13, 16, 136, 3, 1, 1},
                    Case{"wide_data_tiles", 2, 12, 136, 16, 3, 1, 1}, Case{"both_wide", 3, 12, 72, 128, 1},
                    Case{"1x1_stride_2", 2, 15, 40, 48, 1, 2}, Case{"3x3_stride_2", 2, 15, 16, 32, 3, 2, 1},
                    Case{"2x2_stride_3", 1, 16, 16, 8, 2, 3}, Case{"dilated_stride_2", 1, 14, 8, 8, 3, 2, 2, 2},
                    Case{"4x4_images", 9, 4, 64, 64, 3, 1, 1}, Case{"one_pixel", 1, 1, 8, 8, 1},
                    Case{"many_splits", 4, 24, 8, 8, 3, 1, 1}, Case{"data_stages_with_a_tail", 1, 9, 40, 56, 3, 1, 1}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(EmulatedConv, PlainKernelsHaveEveryCase) {
  ConvShape s = Case{"", 2, 37, 3, 68, 3, 2, 1}.shape();
  for (const std::int64_t groups : {1, 2}) {
    s.groups = groups;
    s.in_channels = 3 * groups;
    const Triple t(s);
    for (const DType type : {DType::f64, DType::f32, DType::bf16}) {
      SCOPED_TRACE(join(name_of(type), ", groups: ", groups));
      const double tolerance = type == DType::f64 ? 1e-13 : type == DType::f32 ? 1e-6 : 5e-3;
      const auto check = [&](auto kernel, const auto& first, const auto& second, const auto& expected) {
        const Memory a(first, type), b(second, type), out(static_cast<std::int64_t>(expected.size()), type);
        kernel(device(), s, a.array(), b.array(), out.array());
        EXPECT_LT(distance(out.values(), expected), tolerance);
      };
      check(plain_conv2d_alone, t.x, t.w, t.y);
      check(plain_conv2d_data_alone, t.g, t.w, t.dx);
      check(plain_conv2d_weight, t.x, t.g, t.dw);
    }
  }
}

/// Weight rows that are not whole chunks get padded.
TEST(EmulatedConv, DataGradientOfAnyChannels) {
  for (const std::int64_t in : {3, 12, 70}) {
    const Triple t(Case{"", 2, 7, in, 24, 3, 2, 1}.shape());
    for (const DType type : {DType::bf16, DType::f32}) {
      SCOPED_TRACE(join(name_of(type), ", channels: ", in));
      check_pass(t.shape, t.g, type, t.w, DType::f32, t.dx, type, type == DType::bf16 ? 2e-2 : 1e-5,
                 plain_conv2d_data_alone, conv2d_data_without_sums);
      check_sum(t, type, type == DType::bf16 ? 5e-3 : 1e-5);
    }
  }
}

TEST(EmulatedConv, TensorKernelsRefuseUnsupportedCases) {
  const Memory some(4096, DType::bf16), other(4096, DType::bf16), out(4096, DType::bf16);
  const auto all = [&](const ConvShape& s, ConstArray a) {
    return std::vector<bool>{tensor_conv2d(device(), s, a, other.array(), out.array()),
                             tensor_conv2d_data(device(), s, a, other.array(), out.array()),
                             tensor_conv2d_weight(device(), s, a, some.array(), out.array())};
  };
  const auto array_of = [](const Memory& memory, std::int64_t skipped) {
    return ConstArray(memory.array().as<bf16>() + skipped, memory.array().size - skipped, DType::bf16);
  };
  ConvShape s = Case{"", 1, 3, 12, 16, 1}.shape();
  EXPECT_EQ(all(s, some.array()), (std::vector<bool>{false, true, false}));
  s.in_channels = 16, s.out_channels = 12;
  EXPECT_EQ(all(s, some.array()), (std::vector<bool>{true, false, false}));
  s.out_channels = 16;
  EXPECT_EQ(all(s, array_of(some, 0)), (std::vector<bool>{true, true, true}));
  EXPECT_EQ(all(s, array_of(some, 1)), (std::vector<bool>{false, false, false}));
  s.groups = 2;
  EXPECT_EQ(all(s, some.array()), (std::vector<bool>{false, false, false}));
}

/// The names of the kernels that `work` launches.
std::vector<std::string> kernels_of(const std::function<void()>& work) {
  static std::vector<std::string> names;
  names.clear();
  launch_observer = [](const char* kernel) { names.emplace_back(kernel); };
  work();
  launch_observer = nullptr;
  return names;
}

TEST(EmulatedConv, ReadyWeightsAreNotConverted) {
  using Names = std::vector<std::string>;
  const auto launches = [](std::int64_t in, DType type, DType weights) {
    const ConvShape s = Case{"", 1, 4, in, 16, 3, 1, 1}.shape();
    const Memory g(s.out_size(), type), w(s.weight_size(), weights), dx(s.in_size(), type);
    return kernels_of([&] { tensor_conv2d_data(device(), s, g.array(), w.array(), dx.array()); });
  };
  EXPECT_EQ(launches(24, DType::bf16, DType::bf16), (Names{"conv_tensor_data"}));
  EXPECT_EQ(launches(4, DType::f32, DType::f32), (Names{"conv_tensor_data"}));
  EXPECT_EQ(launches(24, DType::bf16, DType::f32), (Names{"conv_convert_weights", "conv_tensor_data"}));
  EXPECT_EQ(launches(3, DType::bf16, DType::bf16), (Names{"conv_convert_weights", "conv_tensor_data"}));
}

/// The merged partial moments equal those of the stored images, although the means are far from zero.
TEST(EmulatedConv, ForwardGivesTheMomentsOfItsResult) {
  for (const Case& c :
       {Case{"64 columns", 3, 9, 8, 40, 3, 1, 1}, Case{"128 columns", 3, 14, 8, 136, 1},
        Case{"narrow", 3, 11, 8, 64, 3, 1, 1}, Case{"narrow, two tiles a warp", 4, 24, 8, 128, 3, 1, 1}}) {
    SCOPED_TRACE(c.name);
    const ConvShape s = c.shape();
    std::vector<double> of_x = draw(s.in_size(), 4);
    for (double& value : of_x) value += 30;
    const Memory x(of_x, DType::bf16), w(draw(s.weight_size(), 5), DType::bf16), y(s.out_size(), DType::bf16);
    const std::int64_t channels = s.out_channels, pixels = s.out_size() / channels;
    const std::int64_t tiles = ceil_div(pixels, conv_statistics_rows);
    const Memory mean(tiles * channels, DType::f32), squares(tiles * channels, DType::f32);
    ASSERT_TRUE(tensor_conv2d(device(), s, x.array(), w.array(), y.array(),
                              {mean.array().as<float>(), squares.array().as<float>()}));
    const std::vector<double> values = y.values(), means = mean.values(), deviations = squares.values();
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      for (std::int64_t channel = 0; channel < channels; ++channel) {
        const std::int64_t first = tile * conv_statistics_rows, last = std::min(pixels, first + conv_statistics_rows);
        double sum = 0, sum_of_squares = 0;
        for (std::int64_t p = first; p < last; ++p) sum += values[static_cast<std::size_t>(p * channels + channel)];
        const double expected = sum / static_cast<double>(last - first);
        for (std::int64_t p = first; p < last; ++p) {
          const double difference = values[static_cast<std::size_t>(p * channels + channel)] - expected;
          sum_of_squares += difference * difference;
        }
        const auto at = static_cast<std::size_t>(tile * channels + channel);
        const double spread = std::sqrt(sum_of_squares / static_cast<double>(last - first));
        EXPECT_NEAR(means[at], expected, 1e-6 * (1 + std::abs(expected) + spread));
        EXPECT_NEAR(deviations[at], sum_of_squares, 1e-5 * (1 + sum_of_squares));
      }
  }
}

/// 19 tiles for 16 warps: at most two each.
TEST(EmulatedConv, NarrowWarpsWalkAlongTheirTiles) {
  const ConvShape s = Case{"", 4, 24, 8, 128, 3, 1, 1}.shape();
  const Memory x(draw(s.in_size(), 1), DType::bf16), w(draw(s.weight_size(), 2), DType::bf16);
  const Memory by_plain(s.out_size(), DType::bf16), by_tensor(s.out_size(), DType::bf16);
  plain_conv2d(device(), s, x.array(), w.array(), by_plain.array());
  const auto names = kernels_of([&] { tensor_conv2d(device(), s, x.array(), w.array(), by_tensor.array()); });
  EXPECT_EQ(names, (std::vector<std::string>{"conv_tensor_narrow"}));
  EXPECT_LT(distance(by_tensor.values(), by_plain.values()), 1e-2);
}

// ResNet-18 on 1024 images of 32 x 32, on a GPU with 132 multiprocessors, each of which holds two blocks.
TEST(WeightSplits, FillWholeWaves) {
  constexpr int multiprocessors = 132, wave = 2 * multiprocessors;
  struct Layer {
    ConvShape shape;
    std::int64_t rows, cols;
    int splits, blocks;
  };
  const Layer layers[] = {{{1024, 32, 32, 64, 64, 3, 3, 1, 1}, 64, 128, 105, 525},
                          {{1024, 16, 16, 128, 128, 3, 3, 1, 1}, 128, 128, 29, 261},
                          {{1024, 8, 8, 256, 256, 3, 3, 1, 1}, 128, 128, 7, 252},
                          {{1024, 4, 4, 512, 512, 3, 3, 1, 1}, 128, 128, 3, 432}};
  for (const Layer& layer : layers) {
    const ConvShape& s = layer.shape;
    SCOPED_TRACE(s.out_channels);
    const int splits = conv_weight_splits(s, multiprocessors, layer.rows, layer.cols);
    EXPECT_EQ(splits, layer.splits);
    const std::int64_t blocks = splits * ceil_div(s.out_channels, layer.rows) * ceil_div(s.in_channels * 9, layer.cols);
    EXPECT_EQ(blocks, layer.blocks);
    const std::int64_t waves = ceil_div(blocks, wave);
    EXPECT_GE(static_cast<double>(blocks) / static_cast<double>(waves * wave), 0.75) << "of the last wave too";
    EXPECT_LE(ceil_div(s.batch * s.out_height() * s.out_width(), splits), 16384);
  }
}

TEST(WeightSplits, AreWithinTheirBounds) {
  EXPECT_EQ(conv_weight_splits({1, 4, 4, 64, 64, 3, 3, 1, 1}, 132, 64, 128), 1) << "of at least 256 pixels";
  EXPECT_EQ(conv_weight_splits({1, 32, 32, 64, 64, 3, 3, 1, 1}, 132, 64, 128), 4) << "of at least 256 pixels";
  const int long_sums = conv_weight_splits({1024, 112, 112, 64, 64, 3, 3, 1, 1}, 132, 64, 128);
  EXPECT_GE(long_sums, 1024 * 112 * 112 / 16384);
  EXPECT_EQ(conv_weight_splits({2, 8, 8, 4096, 4096, 3, 3, 1, 1}, 132, 128, 128), 1) << "blocks for many waves";
}

TEST(CudaRules, ChooseByShapePassAndType) {
  const ConvShape wide = Case{"", 2, 8, 64, 64, 3, 1, 1}.shape();
  KernelChoices choices;
  const auto choose = [&](const ConvShape& s, ConvPass pass, DType type) {
    return choose_cuda_conv(s, pass, type, choices);
  };
  ConvShape stem = wide;
  stem.in_channels = 3;
  EXPECT_EQ(choose(wide, ConvPass::forward, DType::bf16), CudaConvAlgorithm::library);
  EXPECT_EQ(choose(wide, ConvPass::forward, DType::f32), CudaConvAlgorithm::plain);
  EXPECT_EQ(choose(wide, ConvPass::forward, DType::f64), CudaConvAlgorithm::plain);
  EXPECT_EQ(choose(stem, ConvPass::forward, DType::bf16), CudaConvAlgorithm::plain);
  EXPECT_EQ(choose(stem, ConvPass::data, DType::bf16), CudaConvAlgorithm::tensor);
  EXPECT_EQ(choose(stem, ConvPass::weight, DType::bf16), CudaConvAlgorithm::plain);
  const ConvShape projection = Case{"", 2, 8, 64, 128, 1, 2, 0}.shape(),
                  wider = Case{"", 2, 8, 128, 256, 1, 2, 0}.shape();
  EXPECT_EQ(choose(projection, ConvPass::forward, DType::bf16), CudaConvAlgorithm::library);
  EXPECT_EQ(choose(projection, ConvPass::weight, DType::bf16), CudaConvAlgorithm::tensor);
  EXPECT_EQ(choose(wider, ConvPass::weight, DType::bf16), CudaConvAlgorithm::library);
  choices.cuda_conv = CudaConv::cuda;
  EXPECT_EQ(choose(wide, ConvPass::weight, DType::bf16), CudaConvAlgorithm::tensor);
  choices.cuda_conv = CudaConv::cudnn;
  EXPECT_EQ(choose(stem, ConvPass::forward, DType::bf16), CudaConvAlgorithm::library);
  EXPECT_EQ(choose(stem, ConvPass::forward, DType::f32), CudaConvAlgorithm::plain);
  choices = {.math = CudaMath::tf32};
  EXPECT_EQ(choose(wide, ConvPass::forward, DType::f32), CudaConvAlgorithm::tensor);
  EXPECT_EQ(choose(wide, ConvPass::forward, DType::f64), CudaConvAlgorithm::plain);
}

TEST(CudaTuning, TimesWhatAppliesOnceAndRepeatsItsChoice) {
  const ConvShape shape = Case{"", 2, 4, 8, 16, 3, 1, 1}.shape();
  Backend& gpu = emulated_backend();
  const Memory x(draw(shape.in_size(), 1), DType::bf16), w(draw(shape.weight_size(), 2), DType::bf16);
  const Memory y(shape.out_size(), DType::bf16), again(shape.out_size(), DType::bf16);
  const auto tuned = [&](const ConvChoices& known, const Memory& out) {
    const auto tuning = std::make_shared<ConvTuning>(known);
    const test::WithChoices with(gpu, {.tuning = tuning});
    gpu.conv2d(shape, x.array(), w.array(), out.array());
    return tuning->choices();
  };
  const ConvChoices choices = tuned({}, y);
  ASSERT_EQ(choices.size(), 1u);
  EXPECT_TRUE(choices.begin()->second == "library" || choices.begin()->second == "tensor" ||
              choices.begin()->second == "plain");
  for (const char* choice : {"plain", "tensor"}) {  // uses a kept choice
    EXPECT_EQ(tuned({{choices.begin()->first, choice}}, again).begin()->second, choice);
    const std::vector<double> a = y.values(), b = again.values();
    for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-2 * (1 + std::abs(a[i])));
  }
}

TEST(CudaTuning, TimingKeepsTheValuesToAddTo) {
  const Triple t(Case{"", 2, 4, 8, 16, 3, 1, 1}.shape());
  const std::vector<double> before = draw(t.shape.in_size(), 6);
  std::vector<double> expected = before;
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += t.dx[i];
  const Memory g(t.g, DType::bf16), w(t.w, DType::bf16), dx(before, DType::bf16);
  const test::WithChoices with(emulated_backend(), {.tuning = std::make_shared<ConvTuning>()});
  emulated_backend().conv2d_data(t.shape, g.array(), w.array(), dx.array(), true);
  EXPECT_LT(distance(dx.values(), expected), 5e-3);
}

}  // namespace
}  // namespace vergence::emulated
