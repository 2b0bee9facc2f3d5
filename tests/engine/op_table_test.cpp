// Checks every row of the op table on every device in every precision: the forward pass against plain loops and the
// CPU in f64, first and second order against central differences (f64) and against f64 (f32, bf16), with poisoned and
// guarded memory, twice with the same bits. And: every op that is ever recorded has a row.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/collective.h"
#include "tests/op_table/checks.h"
#include "tests/support/checked_backend.h"
#include "tests/support/with_choices.h"

namespace vergence::test {
namespace {

/// All devices; the CPU once more for f32 convolutions, by each algorithm whatever the rule would choose.
std::vector<std::pair<Backend*, CpuConv>> devices_for(const OpCase& row, DType dtype) {
  std::vector<std::pair<Backend*, CpuConv>> devices;
  for (Backend* device : backends()) devices.emplace_back(device, CpuConv::automatic);
  if (dtype == DType::f32 && std::find(row.ops.begin(), row.ops.end(), "conv2d") != row.ops.end()) {
    devices.emplace_back(&cpu_backend(), CpuConv::direct);
    devices.emplace_back(&cpu_backend(), CpuConv::winograd);
  }
  return devices;
}

class OpTable : public testing::TestWithParam<OpCase> {};

TEST_P(OpTable, AgreesOnEveryDeviceInEveryPrecision) {
  const OpCase& row = GetParam();
  for (DType dtype : row.dtypes) {
    const Reference reference = reference_of(row, dtype);
    if (row.expect) {
      SCOPED_TRACE("against plain loops");
      EXPECT_LE(relative_error(reference.results.outputs[0], row.expect(reference.inputs)), 1e-12);
    }
    for (const auto& [device, conv] : devices_for(row, dtype)) {
      SCOPED_TRACE(join(device->name(), " ", name_of(dtype), conv == CpuConv::winograd ? " winograd" : ""));
      const WithChoices with(*device, {.cpu_conv = conv});
      check_on(row, reference, *device);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Row, OpTable, testing::ValuesIn(op_cases()),
                         [](const testing::TestParamInfo<OpCase>& info) { return info.param.name; });

/// Rows whose derivative is a true one, and which run in f64.
std::vector<OpCase> differentiable_cases() {
  std::vector<OpCase> rows = op_cases();
  std::erase_if(rows, [](const OpCase& row) { return !row.finite_differences || row.dtypes.front() != DType::f64; });
  return rows;
}

class OpDerivatives : public testing::TestWithParam<OpCase> {};

TEST_P(OpDerivatives, AgreeWithDifferences) {
  for (const std::string& problem : check_differences(GetParam(), draw_inputs(GetParam(), DType::f64)))
    ADD_FAILURE() << problem;
}

INSTANTIATE_TEST_SUITE_P(Row, OpDerivatives, testing::ValuesIn(differentiable_cases()),
                         [](const testing::TestParamInfo<OpCase>& info) { return info.param.name; });

/// x^2, whose derivative is off by `first` (and its derivative, as an op of its own, by `second`).
Tensor wrong_square(const Tensor& x, double first, double second) {
  Tensor y = mul(x.detached(), x.detached());
  record("wrong", {x}, {x}, {&y}, [=](const VjpContext& c) {
    const Tensor& x = c[0];
    Tensor gx = (2 + first) * mul(c.g(), x).detached();
    record("wrong_too", {c.g(), x}, {c.g(), x}, {&gx}, [=](const VjpContext& d) {
      return Tensors{(2 + first) * mul(d.g(), d[1]), (2 + first + second) * mul(d.g(), d[0])};
    });
    return Tensors{gx};
  });
  return y;
}

TEST(OpTableItself, SeesAWrongDerivative) {
  auto problems = [](double first, double second) {
    const OpCase row{.name = "wrong", .ops = {}, .inputs = {{{3, 4}}}, .run = [=](const Tensors& in) {
                       return Tensors{wrong_square(in[0], first, second)};
                     }};
    return check_differences(row, draw_inputs(row, DType::f64));
  };
  EXPECT_TRUE(problems(0, 0).empty());
  EXPECT_FALSE(problems(1e-5, 0).empty());
  EXPECT_FALSE(problems(0, 1e-4).empty());
}

/// A sum over ranks whose derivative, or the derivative of that, leaves the other ranks' outputs out.
Tensor own_derivative_only(const Tensor& x, Communicator& ranks, bool first, bool second) {
  Tensor y = all_reduce(x.detached(), ranks);
  record("wrong", {x}, {}, {&y}, [=, &ranks](const VjpContext& c) {
    if (first) return Tensors{identity(c.g())};
    Tensor gx = all_reduce(c.g().detached(), ranks);
    record("wrong_too", {c.g()}, {}, {&gx},
           [=, &ranks](const VjpContext& d) { return Tensors{second ? identity(d.g()) : all_reduce(d.g(), ranks)}; });
    return Tensors{gx};
  });
  return y;
}

TEST(OpTableItself, SeesADerivativeThatForgetsOtherRanks) {
  auto problems = [](bool first, bool second) {
    OpCase row{.name = "wrong_of_ranks", .ops = {}, .inputs = {{{3, 4}}, {{3, 4}}, {{3, 4}}}};
    row.ranks = 3;
    row.run_on_rank = [=](const Tensors& in, Communicator& ranks) {
      return Tensors{own_derivative_only(square(in[0]), ranks, first, second)};
    };
    return check_differences(row, draw_inputs(row, DType::f64));
  };
  EXPECT_TRUE(problems(false, false).empty());
  EXPECT_FALSE(problems(true, false).empty());
  EXPECT_FALSE(problems(false, true).empty());
}

TEST(OpTableItself, SeesWritesOutsideABlock) {
  for (std::int64_t where : {-1, 16}) {
    CheckedBackend device(cpu_backend());
    char* block = static_cast<char*>(device.allocate(16));
    device.upload(block + where, "x", 1);
    device.release(block, 16);
    EXPECT_EQ(device.problems().size(), 1u) << "byte " << where;
  }
}

TEST(OpTableItself, FreshMemoryReadsAsNaN) {
  CheckedBackend device(cpu_backend());
  for (DType dtype : {DType::f64, DType::f32, DType::bf16})
    for (double value : empty(device, {33}, dtype).values()) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(relative_error({1, NAN}, {1, 1}), INFINITY);
}

/// The result of a cast depends on the types by design, so no reference in f64 can say whether it is right.
TEST(OpTableRule, CastRoundsToNearestEven) {
  const double ulp = 0x1p-7;  // of bf16 at 1
  const Tensor x = from_values(cpu_backend(), {7},
                               {1 + ulp / 2, 1 + 1.5 * ulp, 1 + 0.51 * ulp, -1 - ulp, 0, 3e38, 1e39}, DType::f64);
  const Values nearest = {1, 1 + 2 * ulp, 1 + ulp, -1 - ulp, 0};
  const Values found = cast(x, DType::bf16).values(), single = cast(x, DType::f32).values();
  for (std::size_t i = 0; i < nearest.size(); ++i) {
    EXPECT_EQ(found[i], nearest[i]);
    EXPECT_EQ(single[i], static_cast<double>(static_cast<float>(x.values()[i])));
  }
  EXPECT_NEAR(found[5] / 3e38, 1, 4e-3);
  EXPECT_EQ(single[6], INFINITY);
  EXPECT_EQ(found[6], INFINITY);
}

/// Among equal values the first cell of a window, in row-major order, takes the gradient.
TEST(OpTableRule, MaxPoolGivesTiesToTheFirstCell) {
  for (Backend* device : backends())
    for (DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      const Tensor x = leaf(full(*device, {1, 4, 4, 1}, 3, dtype));
      const Tensor y = max_pool(x, {.kernel = 3, .stride = 2, .padding = 1});
      const Values gx = grad({y}, {x}, {.seeds = {from_values(*device, y.shape, {1, 2, 4, 8}, dtype)}})[0].values();
      // Windows begin at (-1, -1), (-1, 1), (1, -1), (1, 1): their first cells inside are these.
      Values expected(16);
      expected[0] = 1, expected[1] = 2, expected[4] = 4, expected[5] = 8;
      EXPECT_EQ(gx, expected) << device->name() << " " << name_of(dtype);
    }
}

}  // namespace
}  // namespace vergence::test
