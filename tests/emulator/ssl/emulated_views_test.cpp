// Views of the emulated GPU: the same decisions as the CPU's, the same pixels within rounding.
#include <array>
#include <cstring>

#include "kernels/cuda/emulated/backend.h"
#include "kernels/cuda/launch.h"
#include "kernels/shared/view_plan.h"
#include "tests/support/view_checks.h"

namespace vergence::emulated {
namespace {

__global__ void draw_plans(ViewRules rules, int height, int width, int count, ViewPlan* plans) {
  const int sample = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (sample < count)
    plans[sample] = draw_plan(rules, height, width, Random(7, Purpose::view, 3, static_cast<std::uint64_t>(sample), 1));
}

}  // namespace
}  // namespace vergence::emulated

namespace vergence::test {
namespace {

void expect_same_bits(float a, float b) { EXPECT_EQ(std::memcmp(&a, &b, sizeof a), 0) << a << " and " << b; }

/// Both sides compile shared/view_plan.h: this finds only flags, such as contraction, that change bits.
TEST(EmulatedPlans, AreTheSameBitsInBothBuilds) {
  constexpr int count = 1000;
  for (const ViewSettings& settings : byol_views(32)) {
    std::vector<ViewPlan> plans(count);
    emulated::launch("draw_plans", emulated::draw_plans, emulated::blocks_for(count, 64), 64, 0, ViewRules(settings),
                     40, 28, count, plans.data());
    for (int sample = 0; sample < count; ++sample) {
      const ViewPlan& got = plans[static_cast<std::size_t>(sample)];
      const ViewPlan cpu =
          draw_view(settings, 40, 28, Random(7, Purpose::view, 3, static_cast<std::uint64_t>(sample), 1));
      EXPECT_EQ(got.crop, cpu.crop);
      EXPECT_EQ(got.order, cpu.order);
      const auto switches = [](const ViewPlan& plan) {
        return std::array<bool, 5>{plan.jitter, plan.gray, plan.blur, plan.solarize, plan.flip};
      };
      EXPECT_EQ(switches(got), switches(cpu));
      for (float ViewPlan::*value :
           {&ViewPlan::brightness, &ViewPlan::contrast, &ViewPlan::saturation, &ViewPlan::hue, &ViewPlan::sigma})
        expect_same_bits(got.*value, cpu.*value);
    }
  }
}

/// The samples of the cases below cover every operation and every order of the color jitter.
TEST(EmulatedPlans, CasesReachEverything) {
  std::set<std::array<Jitter, 4>> orders;
  std::set<std::string> operations;
  for (const ViewCase& row : view_cases())
    for (std::size_t v = 0; v < row.views.size(); ++v)
      for (std::int64_t i = 0; i < row.images; ++i) {
        const ViewPlan plan =
            draw_view(row.views[v], row.height, row.width,
                      Random(7, Purpose::view, 3, static_cast<std::uint64_t>(i), static_cast<std::uint32_t>(v)));
        if (plan.jitter) orders.insert(plan.order);
        for (const auto& [name, on] : {std::pair{"jitter", plan.jitter},
                                       {"gray", plan.gray},
                                       {"blur", plan.blur},
                                       {"solarize", plan.solarize},
                                       {"flip", plan.flip}})
          operations.insert(join(name, on ? " on" : " off"));
      }
  EXPECT_EQ(orders.size(), 24u);
  EXPECT_EQ(operations.size(), 10u);
}

class EmulatedViews : public testing::TestWithParam<ViewCase> {};

TEST_P(EmulatedViews, AgreeWithTheCpu) { check_views_on(GetParam(), emulated_backend()); }

INSTANTIATE_TEST_SUITE_P(Case, EmulatedViews, testing::ValuesIn(view_cases()),
                         [](const testing::TestParamInfo<ViewCase>& info) { return info.param.name; });

TEST(EmulatedDeviceSource, BatchesAreTheLoaders) {
  for (FreshViews fresh : {FreshViews::none, FreshViews::same_images, FreshViews::other_images})
    check_device_source_on(emulated_backend(), fresh);
}

TEST(EmulatedDeviceSource, ImagesOfFilesAreTheLoaders) { check_device_source_of_files_on(emulated_backend()); }

TEST(EmulatedDeviceSource, ARecordingMakesEveryBatch) { check_recorded_source_on(emulated_backend()); }

}  // namespace
}  // namespace vergence::test
