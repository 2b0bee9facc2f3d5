// The FLOPs that the plan names against those of a step's convolutions and matrix products.
#include <gtest/gtest.h>

#include "tests/support/flop_counts.h"
#include "tests/support/objective_cases.h"

namespace vergence {
namespace {

/// A step's FLOPs divided by the plan's.
double flops_by_plan(const Options& options) {
  test::FlopCounts device(cpu_backend());
  const auto objective = make_objective({options, encoder_settings(options, 32), device, DType::f32, DType::f32});
  const auto images = [&](std::int64_t count, std::uint64_t stream) {
    const Tensor values = random_tensor({count, 32, 32, 3}, stream, DType::f32);
    return from_values(device, values.shape, values.values(), DType::f32);
  };
  const Views views{images(2 * options.batch, 1), images(options.batch, 2), images(2 * options.batch, 3)};
  const double before = device.flops;
  objective->step(views, {.lr = 1e-4, .steps = 10, .images = options.batch});
  return (device.flops - before) / objective->cost(options.batch).flops;
}

class PlannedFlops : public testing::TestWithParam<ObjectiveCase> {};

/// All but the gradient by the images, which the plan counts.
TEST_P(PlannedFlops, AreThoseOfAStep) {
  const double ratio = flops_by_plan(options_of(GetParam(), 8, 16));
  EXPECT_GT(ratio, 0.985);
  EXPECT_LT(ratio, 1.003);
}

INSTANTIATE_TEST_SUITE_P(Objectives, PlannedFlops, testing::ValuesIn(objective_cases()),
                         [](const auto& info) { return info.param.name; });

/// As docs/options.md says: the plan does not count what is computed again.
TEST(RecomputedWork, IsAThirdOfTheStepOrHalfOfExactSecondOrder) {
  for (const auto& [objective, more] : {std::pair{"simclr", 1.33}, {"metamask", 1.55}, {"icl_msr", 1.5}})
    for (const Switches& way : {Switches{{"micro-batch", "4"}}, Switches{{"recompute-blocks", "on"}}}) {
      Options options = options_of({objective, objective, {}}, 8, 16);
      const double whole = flops_by_plan(options);
      set_options(options, way);
      EXPECT_NEAR(flops_by_plan(options) / whole, more, 0.03) << objective << ' ' << way[0].first;
    }
}

std::vector<ObjectiveCase> other_forms() {
  const auto metamask = [](const std::string& name, const Switches& options) {
    return ObjectiveCase{"metamask_" + name, "metamask", options};
  };
  const auto icl_msr = [](const std::string& name, const Switches& options) {
    return ObjectiveCase{"icl_msr_" + name, "icl_msr", options};
  };
  const std::pair<std::string, std::string> full{"metamask.meta_loss", "full"}, fused{"metamask.fused", "on"},
      first_order{"metamask.second_order", "none"}, byol{"icl_msr.base", "byol"}, same{"icl_msr.outer_views", "same"};
  return {metamask("no_mask", {{"metamask.meta", "off"}}),
          metamask("fused_full", {fused, full}),
          metamask("fused_first_order", {fused, first_order}),
          metamask("fused_full_first_order", {fused, full, first_order}),
          metamask("compare", {{"metamask.compare", "on"}}),
          icl_msr("fixed", {{"icl_msr.train", "fixed"}, {"icl_msr.build", "table"}}),
          icl_msr("ordinary", {{"icl_msr.train", "ordinary"}, {"icl_msr.build", "features"}}),
          icl_msr("byol_same", {byol, same}),
          icl_msr("byol_first_order", {byol, {"icl_msr.second_order", "none"}}),
          icl_msr("difference", {{"icl_msr.second_order", "finite_difference"}}),
          icl_msr("lambda_0", {{"icl_msr.lambda", "0"}}),
          {"dsa_scores", "dsa", {{"dsa.lambda1", "0.5"}, {"dsa.prior_net", "ema"}, {"dsa.base", "byol"}}},
          {"mrcl_plain", "mrcl", {{"mrcl.mask_ratio", "0"}}},
          {"mrcl_no_decoder", "mrcl", {{"mrcl.alpha", "0"}}}};
}

INSTANTIATE_TEST_SUITE_P(OtherForms, PlannedFlops, testing::ValuesIn(other_forms()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vergence
