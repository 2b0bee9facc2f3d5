// Tests the GPU's batch norm beyond the op table: data far from zero, the ReLU's mask as bits, unaligned addresses, and
// statistics from a convolution.
#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/emulated/backend.h"
#include "kernels/cuda/fused.h"
#include "tests/support/kernel_check.h"

namespace vergence::test {
namespace {

NormShape shape_of(std::int64_t groups, std::int64_t rows, std::int64_t channels, bool relu = false) {
  NormShape shape;
  shape.groups = groups, shape.rows = rows, shape.channels = channels, shape.relu = relu;
  return shape;
}

std::int64_t size_of_rows(const NormShape& shape) { return shape.groups * shape.rows * shape.channels; }

/// One forward pass and its results.
struct Forward {
  Forward(const NormShape& shape, DType type)
      : mean(master_of(type), shape.groups * shape.channels),
        rstd(master_of(type), shape.groups * shape.channels),
        y(type, size_of_rows(shape)),
        positive(DType::u8, (size_of_rows(shape) + 7) / 8) {}

  Block mean, rstd, y, positive;
};

/// Expects a mask with a bit for each positive value of the output, and zeros after them.
void expect_bits_of(const Forward& forward) {
  const Values y = forward.y.values(), bytes = forward.positive.values();
  for (std::size_t i = 0; i < 8 * bytes.size(); ++i)
    ASSERT_EQ((static_cast<unsigned>(bytes[i / 8]) >> i % 8 & 1u) != 0, i < y.size() && y[i] > 0) << i;
  EXPECT_TRUE(forward.positive.guard_intact());
}

/// mean and rstd of unrounded values, in double.
std::pair<Values, Values> plain_statistics(const NormShape& shape, const Values& x) {
  Values mean(count(shape.groups * shape.channels)), variance = mean;
  const auto k_of = [&](std::size_t i) {
    const auto at = static_cast<std::int64_t>(i);
    return count(at / (shape.rows * shape.channels) * shape.channels + at % shape.channels);
  };
  for (std::size_t i = 0; i < x.size(); ++i) mean[k_of(i)] += x[i] / static_cast<double>(shape.rows);
  for (std::size_t i = 0; i < x.size(); ++i)
    variance[k_of(i)] += std::pow(x[i] - mean[k_of(i)], 2) / static_cast<double>(shape.rows);
  for (double& value : variance) value = 1 / std::sqrt(value + shape.epsilon);
  return {mean, variance};
}

class EmulatedNorm : public testing::TestWithParam<std::int64_t /* channels */> {};

TEST_P(EmulatedNorm, LosesNothingFarFromZero) {
  const NormShape shape = shape_of(2, 700, GetParam());
  for (const bool outlier : {false, true}) {
    Values x = draw(DType::f32, size_of_rows(shape), 98.3, 101.7);
    if (outlier) x[0] = 5000;  // the kernel subtracts this first value from the others
    const Block input(DType::f32, x);
    const Forward out(shape, DType::f32), exact(shape, DType::f64);
    emulated_backend().batch_norm(shape, {.x = input, .mean = out.mean, .rstd = out.rstd, .y = out.y});
    cpu_backend().batch_norm(shape, {.x = Block(DType::f64, x), .mean = exact.mean, .rstd = exact.rstd, .y = exact.y});
    const auto [mean, rstd] = plain_statistics(shape, x);
    // In f32, rounding alone can move a mean of 100 by 4e-6 standard deviations.
    for (std::size_t k = 0; k < mean.size(); ++k) EXPECT_NEAR(out.mean.values()[k], mean[k], 1e-5 / rstd[k]) << k;
    EXPECT_LE(error_of(out.rstd.values(), rstd), 4e-6);
    EXPECT_LE(error_of(out.y.values(), exact.y.values()), 1e-5);
  }
}

/// The backward passes' results; `y` is the output or its bits. The last result is the double backward's dg alone, for
/// which it may read less.
std::vector<Values> backward(Backend& device, const NormShape& shape, DType type, const Values& x, const Values& g,
                             const Forward& forward, ConstArray y) {
  const std::int64_t size = size_of_rows(shape);
  const Block input(type, x), cotangent(type, g), a(type, draw(type, size, -1, 1, 5));
  const Block a_add(type, draw(type, size, -1, 1, 8)), scale(master_of(type), draw(type, shape.channels, -1, 1, 9));
  const Block gx(type, size), g_add(type, size), dg(type, size), dx(type, size), dg_alone(type, size);
  device.batch_norm_backward(
      shape, {.g = cotangent, .x = input, .y = y, .mean = forward.mean, .rstd = forward.rstd, .gx = gx});
  device.batch_norm_backward(
      shape, {.g = cotangent, .x = input, .y = y, .mean = forward.mean, .rstd = forward.rstd, .g_add = g_add});
  device.batch_norm_double_backward(
      shape,
      {.a = a, .g = cotangent, .x = input, .y = y, .mean = forward.mean, .rstd = forward.rstd, .dg = dg, .dx = dx});
  device.batch_norm_double_backward(shape, {.a = a,
                                            .a_add = a_add,
                                            .b = scale,
                                            .c = scale,
                                            .x = input,
                                            .y = y,
                                            .gamma = scale,
                                            .mean = forward.mean,
                                            .rstd = forward.rstd,
                                            .dg = dg_alone});
  return {gx.values(), g_add.values(), dg.values(), dx.values(), dg_alone.values()};
}

TEST_P(EmulatedNorm, BitsSayWhatTheOutputSays) {
  const NormShape shape = shape_of(2, 7, GetParam(), true);
  const std::int64_t size = size_of_rows(shape);
  for (DType type : float_types)
    for (Backend* device : {&cpu_backend(), &emulated_backend()}) {
      SCOPED_TRACE(join(device->name(), " ", name_of(type)));
      const Values x = draw(type, size, -1, 1, 3), g = draw(type, size, -1, 1, 4);
      const Forward out(shape, type);
      device->batch_norm(
          shape, {.x = Block(type, x), .mean = out.mean, .rstd = out.rstd, .y = out.y, .positive = out.positive});
      expect_bits_of(out);
      EXPECT_EQ(backward(*device, shape, type, x, g, out, out.y),
                backward(*device, shape, type, x, g, out, out.positive));
    }
}

INSTANTIATE_TEST_SUITE_P(Channels, EmulatedNorm, testing::Values(5, 24),
                         [](const testing::TestParamInfo<std::int64_t>& info) { return join("of_", info.param); });

TEST(EmulatedNormOfManyRows, RowBlocksTakeTurns) {
  const NormShape shape = shape_of(64, 2550, 5, true);  // 4 row blocks per group, 10 turns, the last one short
  const std::int64_t size = size_of_rows(shape);
  for (const DType type : {DType::f64, DType::f32}) {
    SCOPED_TRACE(name_of(type));
    const Values x = draw(type, size, 2, 3, 6), g = draw(type, size, -1, 1, 7);
    const Forward out(shape, type), expected(shape, type);
    emulated_backend().batch_norm(
        shape, {.x = Block(type, x), .mean = out.mean, .rstd = out.rstd, .y = out.y, .positive = out.positive});
    cpu_backend().batch_norm(shape, {.x = Block(type, x),
                                     .mean = expected.mean,
                                     .rstd = expected.rstd,
                                     .y = expected.y,
                                     .positive = expected.positive});
    const double most = type == DType::f64 ? 1e-12 : 2e-6;
    EXPECT_LE(error_of(out.mean.values(), expected.mean.values()), most);
    EXPECT_LE(error_of(out.rstd.values(), expected.rstd.values()), most);
    const std::vector<Values> results = backward(emulated_backend(), shape, type, x, g, expected, expected.y);
    const std::vector<Values> reference = backward(cpu_backend(), shape, type, x, g, expected, expected.y);
    for (std::size_t i = 0; i < results.size(); ++i) EXPECT_LE(error_of(results[i], reference[i]), 2 * most) << i;
  }
}

/// The third derivative along fixed directions: beyond the fused kernels, it needs the mask as values.
Values third_order(Backend& device) {
  const Shape shape{6, 5};
  const auto given = [&](const Shape& of, std::uint64_t seed) {
    return from_values(device, of, draw(DType::f64, of.size(), -1, 1, seed));
  };
  const Tensor x = leaf(given(shape, 1));
  Tensor at = batch_norm(x, given({5}, 2), given({5}, 3), given(shape, 4), {.groups = 2, .relu = true}).y;
  for (std::uint64_t order = 1; order <= 3; ++order)
    at = grad({at}, {x}, {.create = order < 3, .keep = order < 3, .seeds = {given(shape, 4 + order)}})[0];
  return at.values();
}

TEST(EmulatedNormThirdOrder, IsTheCpus) {
  const Values expected = third_order(cpu_backend());
  EXPECT_GT(error_of(expected, Values(expected.size())), 0);
  EXPECT_LE(error_of(third_order(emulated_backend()), expected), 1e-12);
}

/// A copy of an array, one element after an aligned address.
struct Shifted {
  Shifted(DType type, const Values& values) : Shifted(type, static_cast<std::int64_t>(values.size()), values) {}
  Shifted(DType type, std::int64_t size, const Values& values = {})
      : block(type, values.empty() ? Values(count(size + 1)) : with_one_before(values)),
        array{static_cast<char*>(Array(block).data) + size_of(type), size, type} {}
  static Values with_one_before(Values values) {
    values.insert(values.begin(), 0);
    return values;
  }
  Values values() const {
    Values all = block.values();
    all.erase(all.begin());
    return all;
  }

  Block block;
  Array array;
};

TEST(EmulatedNormAddresses, MayLieAnywhere) {
  const NormShape shape = shape_of(2, 9, 16, true);
  const std::int64_t size = size_of_rows(shape);
  for (DType type : float_types) {
    const Values x = draw(type, size, -1, 1, 3), g = draw(type, size, -1, 1, 4);
    const Forward aligned(shape, type);
    emulated_backend().batch_norm(shape,
                                  {.x = Block(type, x), .mean = aligned.mean, .rstd = aligned.rstd, .y = aligned.y});
    const Block gx(type, size);
    emulated_backend().batch_norm_backward(shape, {.g = Block(type, g),
                                                   .x = Block(type, x),
                                                   .y = aligned.y,
                                                   .mean = aligned.mean,
                                                   .rstd = aligned.rstd,
                                                   .gx = gx});
    const Shifted shifted_x(type, x), shifted_g(type, g), y(type, size), shifted_gx(type, size);
    const Forward out(shape, type);
    emulated_backend().batch_norm(
        shape, {.x = shifted_x.array, .mean = out.mean, .rstd = out.rstd, .y = y.array, .positive = out.positive});
    emulated_backend().batch_norm_backward(shape, {.g = shifted_g.array,
                                                   .x = shifted_x.array,
                                                   .y = y.array,
                                                   .mean = out.mean,
                                                   .rstd = out.rstd,
                                                   .gx = shifted_gx.array});
    EXPECT_LE(error_of(y.values(), aligned.y.values()), tolerance(type));
    EXPECT_LE(error_of(shifted_gx.values(), gx.values()), tolerance(type));
  }
}

/// The moments of each tile of rows, as a convolution leaves them.
struct Tiles {
  Tiles(const NormShape& shape, const Values& x)
      : tiles((shape.groups * shape.rows + conv_statistics_rows - 1) / conv_statistics_rows),
        mean(DType::f32, moments(shape, x, false)),
        squares(DType::f32, moments(shape, x, true)) {}
  emulated::ConvStatistics given() const { return {Array(mean).as<float>(), Array(squares).as<float>()}; }

  Values moments(const NormShape& shape, const Values& x, bool centered_squares) const {
    Values out;
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      for (std::int64_t c = 0; c < shape.channels; ++c) {
        const std::int64_t first = tile * conv_statistics_rows;
        const std::int64_t last = std::min(first + conv_statistics_rows, shape.groups * shape.rows);
        double center = 0, squared = 0;
        for (std::int64_t row = first; row < last; ++row)
          center += x[count(row * shape.channels + c)] / static_cast<double>(last - first);
        for (std::int64_t row = first; row < last; ++row)
          squared += std::pow(x[count(row * shape.channels + c)] - center, 2);
        out.push_back(centered_squares ? squared : center);
      }
    return out;
  }

  static constexpr std::int64_t conv_statistics_rows = emulated::conv_statistics_rows;
  std::int64_t tiles;
  Block mean, squares;
};

TEST(EmulatedNormOfTiles, IsTheSameWithoutReadingTheRowsTwice) {
  auto& device = dynamic_cast<emulated::CudaBackend&>(emulated_backend());
  // Whole tiles in each group; a partial last tile; more tiles than one block merges.
  for (const NormShape& shape : {shape_of(2, 256, 16, true), shape_of(1, 300, 9), shape_of(1, 70000, 8)}) {
    SCOPED_TRACE(join(shape.groups, " groups of ", shape.rows, " rows"));
    const Values x = draw(DType::bf16, size_of_rows(shape), 1, 3);
    const Block input(DType::bf16, x), gamma(DType::f32, draw(DType::f32, shape.channels, 0.5, 1.5, 7));
    const Forward whole(shape, DType::bf16), out(shape, DType::bf16);
    emulated_backend().batch_norm(
        shape,
        {.x = input, .gamma = gamma, .mean = whole.mean, .rstd = whole.rstd, .y = whole.y, .positive = whole.positive});
    ASSERT_TRUE(emulated::batch_norm_of_tiles(device, shape, Tiles(shape, x).given(),
                                              {.x = input,
                                               .gamma = gamma,
                                               .mean = out.mean,
                                               .rstd = out.rstd,
                                               .y = out.y,
                                               .positive = shape.relu ? Array(out.positive) : Array()}));
    EXPECT_LE(error_of(out.mean.values(), whole.mean.values()), 1e-6);
    EXPECT_LE(error_of(out.rstd.values(), whole.rstd.values()), 1e-6);
    EXPECT_LE(error_of(out.y.values(), whole.y.values()), 1e-3);
    if (shape.relu) expect_bits_of(out);
  }
}

TEST(EmulatedNormOfTiles, RefusesTilesOfTwoGroups) {
  auto& device = dynamic_cast<emulated::CudaBackend&>(emulated_backend());
  const NormShape shape = shape_of(2, 200, 8);
  const Values x = draw(DType::bf16, size_of_rows(shape));
  const Block input(DType::bf16, x);
  const Forward out(shape, DType::bf16);
  EXPECT_FALSE(emulated::batch_norm_of_tiles(device, shape, Tiles(shape, x).given(),
                                             {.x = input, .mean = out.mean, .rstd = out.rstd, .y = out.y}));
}

}  // namespace
}  // namespace vergence::test
