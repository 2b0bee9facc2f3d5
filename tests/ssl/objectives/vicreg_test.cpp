// VICReg's loss against its definition, and its gradient against differences.
#include <cmath>
#include <gtest/gtest.h>

#include "engine/graph.h"
#include "engine/ops/ops.h"
#include "models/encoders/resnet.h"
#include "ssl/objective_list.h"
#include "ssl/options/table.h"
#include "tests/op_table/runner.h"
#include "tests/support/naive_vicreg.h"

namespace vergence::test {
namespace {

std::unique_ptr<Method> method(const Options& options) {
  const ObjectiveSetup setup{options, ResNetSettings{.width = 1}, cpu_backend(), DType::f64, DType::f64};
  return make_method("vicreg", "--objective", setup, make_encoder(setup.encoder, setup.init()));
}

TEST(Vicreg, IsItsDefinition) {
  for (const auto& [images, dim] : {std::pair<std::size_t, std::size_t>{7, 4}, {4, 9}}) {
    std::vector<double> values = normal_values("z", 0, static_cast<int>(2 * images * dim));
    for (double& value : values) value = 0.7 * value + 3;
    const Shape shape{static_cast<std::int64_t>(2 * images), static_cast<std::int64_t>(dim)};
    const Tensor z = from_values(cpu_backend(), shape, values);
    for (const NaiveVicreg& terms : {NaiveVicreg{},
                                     {.variance = 0, .covariance = 0},
                                     {.invariance = 0, .covariance = 0},
                                     {.invariance = 0, .variance = 0},
                                     {.deviation = 1.7, .epsilon = 0.03}}) {
      Options options;
      set_option(options, "vicreg.invariance", join(terms.invariance));
      set_option(options, "vicreg.variance", join(terms.variance));
      set_option(options, "vicreg.covariance", join(terms.covariance));
      set_option(options, "vicreg.deviation", join(terms.deviation));
      set_option(options, "vicreg.epsilon", join(terms.epsilon));
      const double expected = naive_vicreg(values, images, dim, terms);
      EXPECT_GT(expected, 0);
      EXPECT_NEAR(method(options)->loss({z, {}}).item(), expected, 1e-10 * (1 + expected));
    }
  }
}

TEST(Vicreg, GradientFollowsTheLoss) {
  const Options options;
  const auto vicreg = method(options);
  const Tensor z = from_values(cpu_backend(), {10, 6}, normal_values("z", 0, 60));
  const Tensor direction = from_values(cpu_backend(), {10, 6}, normal_values("direction", 0, 60));
  const Tensor x = leaf(z);
  Parts parts;
  const Tensor loss = vicreg->loss({x, {}}, &parts);
  const double along = dot(grad({loss}, {x}, {.keep = true})[0], direction).item(), h = 1e-6;
  const auto at = [&](double step) { return vicreg->loss({z + step * direction, {}}).item(); };
  EXPECT_NEAR(along, (at(h) - at(-h)) / (2 * h), 1e-6 * std::abs(along));
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_NEAR(parts[0].second.item() + parts[1].second.item() + parts[2].second.item(), loss.item(), 1e-12);
}

}  // namespace
}  // namespace vergence::test
